"""What lets a call in, the same at both doors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sendoff_server.access.principal import Permission, Principal
from sendoff_server.store.port import DEFAULT_TENANT


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a call brought to tell who makes it."""

    authorization: str | None = None
    """The header, or the metadata, of that name."""
    certificate_names: tuple[str, ...] = ()
    """What the caller's certificate is for, if the connection has proven one."""


class Gate(Protocol):
    """Asked before anything of a call is looked at."""

    async def admit(self, credentials: Credentials, permission: Permission) -> Principal:
        """Who calls, if they may do what needs that permission. Raises Unauthenticated, PermissionDenied."""
        ...


class OpenGate:
    """For servers that have no keys: everybody is let in, as the one tenant."""

    async def admit(self, credentials: Credentials, permission: Permission) -> Principal:
        return Principal(DEFAULT_TENANT, None)
