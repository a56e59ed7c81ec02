"""What is counted and timed while the server works, as those see it who do the work.

Each part is handed the one of these that it needs. Their calls cost next to nothing, never wait and never raise; what
becomes of the figures is up to `sight`, and without metrics nothing does. What the store has written is not told here:
`sight` sees it commit by commit.
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
        """With an error; `reason` is the error's."""
        ...


class StoreMeter(Protocol):
    """Work of the store."""

    def written(self, items: int, seconds: float) -> None:
        """A batch, from the begin of its transaction to the end of its commit."""
        ...

    def failed(self, doing: str) -> None:
        """It could not be asked, or could not write: `doing` is one of few words."""
        ...


class WorkMeter(Protocol):
    """Runs at work in this process."""

    def claimed(self, runs: int) -> None:
        """So many lanes that waited for a slot got one."""
        ...

    def began(self, tenant: str, waited_s: float) -> None:
        """A run is executed for the first time; so long after its accept, or its start time."""
        ...

    def lost(self) -> None:
        """A run that was executed here is somebody else's now."""
        ...

    def freed(self, replicas: int) -> None:
        """So many others were declared dead, and what they held was freed."""
        ...

    def first_token(self, model: str, seconds: float) -> None:
        """Since the model was called."""
        ...

    def model_repeated(self, model: str, reason: str) -> None:
        """A call of the model is made again."""
        ...

    def tool_called(self, kind: str, outcome: str, seconds: float) -> None: ...


class StreamMeter(Protocol):
    """Streams of a run's log, over both doors."""

    def opened(self) -> None: ...

    def closed(self, reason: str) -> None:
        """`reason` is one of few words."""
        ...

    def told(self, lag_s: float) -> None:
        """An event that is new, so long after it happened."""
        ...


class Unmetered(CallMeter, StoreMeter, StreamMeter):
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

    def opened(self) -> None:
        pass

    def closed(self, reason: str) -> None:
        pass

    def told(self, lag_s: float) -> None:
        pass


class UnmeteredWork(WorkMeter):
    """Counts nothing."""

    def claimed(self, runs: int) -> None:
        pass

    def began(self, tenant: str, waited_s: float) -> None:
        pass

    def lost(self) -> None:
        pass

    def freed(self, replicas: int) -> None:
        pass

    def first_token(self, model: str, seconds: float) -> None:
        pass

    def model_repeated(self, model: str, reason: str) -> None:
        pass

    def tool_called(self, kind: str, outcome: str, seconds: float) -> None:
        pass


UNMETERED = Unmetered()
UNMETERED_WORK = UnmeteredWork()


@dataclass(frozen=True, slots=True, kw_only=True)
class Meters:
    """All of one server."""

    grpc: CallMeter = UNMETERED
    rest: CallMeter = UNMETERED
    store: StoreMeter = UNMETERED
    work: WorkMeter = UNMETERED_WORK
    streams: StreamMeter = UNMETERED
