"""Pictures of a request that are told by their URL, where this server is the one that fetches them."""

from __future__ import annotations

from typing import Protocol

from sendoff import v1
from sendoff_server.errors import InvalidRequest, Violation
from sendoff_server.runs.stored_images import contents
from sendoff_server.validation.limits import MAX_VIOLATIONS


class Addresses(Protocol):
    """Who knows where callers may have the server connect to."""

    def fault_of(self, url: str) -> str | None:
        """Why nothing may be had from an absolute URL, as far as it tells by itself; None for no reason."""
        ...


def check_addresses(addresses: Addresses, request: v1.CreateMessageAsyncRequest) -> None:
    """Raise InvalidRequest, naming the pictures whose URL tells that it may not be fetched."""
    found = [
        Violation(f"{path}.parts.parts[{index}].image.url.url", fault)
        for path, content in contents(request)
        for index, part in enumerate(content.parts.parts)
        if part.image.HasField("url") and (fault := _fault_of(addresses, part.image.url.url))
    ]
    if found:
        raise InvalidRequest(found[:MAX_VIOLATIONS])


def _fault_of(addresses: Addresses, url: str) -> str | None:
    return None if url[:5].lower() == "data:" else addresses.fault_of(url)
