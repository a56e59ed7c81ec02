"""How a request goes to an address that a caller chose."""

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
