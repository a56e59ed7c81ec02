"""What is counted and timed while the server works, as those see it who do the work.

Each part is handed the one of these that it needs. Their calls cost next to nothing, never wait and never raise; what
becomes of the figures is up to `sight`, and without metrics nothing does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class CallMeter(Protocol):
    """Calls at one door. Their names are those of the contract or of routes, never anything that a caller chose."""

    def began(self, name: str) -> None: ...

    def ended(self, name: str, code: str, seconds: float) -> None:
        """`code` is the gRPC status' name, or the HTTP status."""
        ...

    def refused(self, reason: str) -> None:
        """With an error of ours; `reason` is the error's."""
        ...


class StoreMeter(Protocol):
    """Work of the store."""

    def written(self, items: int, seconds: float) -> None:
        """A batch, from the begin of its transaction to the end of its commit."""
        ...

    def failed(self, doing: str) -> None:
        """It could not be asked, or could not write: `doing` is one of few words."""
        ...


class Unmetered(CallMeter, StoreMeter):
    """Counts nothing."""

    def began(self, name: str) -> None:
        pass

    def ended(self, name: str, code: str, seconds: float) -> None:
        pass

    def refused(self, reason: str) -> None:
        pass

    def written(self, items: int, seconds: float) -> None:
        pass

    def failed(self, doing: str) -> None:
        pass


UNMETERED = Unmetered()


@dataclass(frozen=True, slots=True, kw_only=True)
class Meters:
    """All of one server."""

    grpc: CallMeter = UNMETERED
    rest: CallMeter = UNMETERED
    store: StoreMeter = UNMETERED
