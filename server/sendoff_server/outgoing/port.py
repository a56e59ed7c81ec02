"""How requests go to addresses that callers chose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

EXCERPT_CHARACTERS = 500


class NotAnswered(Exception):
    """No answer came. The message is for the caller: it tells no address that he did not know."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said."""

    status: int
    retry_after: str = ""
    """The header of that name."""
    excerpt: str = ""
    """How its body begins: EXCERPT_CHARACTERS at most, and what is no UTF-8 replaced."""


class Sender(Protocol):
    """Sends requests to addresses that callers chose."""

    async def send(self, url: str, headers: Mapping[str, str], body: str) -> Answer:
        """POST it once. Follows no redirect, and reads no more of the answer than its beginning.

        Raises NotAnswered, always within a limit of time."""
        ...

    async def close(self) -> None: ...


class NotFetched(Exception):
    """Nothing was fetched. The message is for the caller: it tells no address that he did not know."""

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing
        """Whether it may be there in a moment."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What was at an address."""

    data: bytes
    media_type: str
    """As image/png."""


class Fetcher(Protocol):
    """Gets pictures from addresses that callers chose."""

    async def fetch(self, url: str) -> Picture:
        """What is at an http or https URL, or where that leads.

        Raises NotFetched, always within a limit of time, for whatever is no picture or has too many bytes."""
        ...

    async def close(self) -> None: ...
