"""What the server does, as spans of distributed traces: told to a `Tracer` by whoever does it.

Names and attributes of spans are the adapter's matter (`tracing/`). A run's trace outlives the process that works on
it: the run carries the span that accepted it, and the spans of a run and of its steps have ids that follow from theirs,
so that whichever process ends them, what was done below them hangs together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from sendoff import v1

Headers = Iterable[tuple[str, str | bytes]]
"""What came with a call, names in lower case."""

Outcome = Callable[[str], None]
"""To be told how a call ended: the name of a gRPC status, or the number of an HTTP one."""


class Tracer(Protocol):
    """Keeps the spans of one process. Nothing here raises, waits or blocks; blocks are entered and left by one task."""

    @property
    def is_on(self) -> bool:
        """Whether anything is kept."""
        ...

    def call(self, method: str, headers: Headers) -> AbstractContextManager[Outcome]:
        """A gRPC call is served inside the block, as package.Service/Method, below the caller's span."""
        ...

    def request(self, method: str, route: str, headers: Headers) -> AbstractContextManager[Outcome]:
        """The same of an HTTP request; `route` is the template of its path."""
        ...

    def accepting(self, run: v1.Run) -> AbstractContextManager[None]:
        """A new run is written inside the block. Sets `trace` of it, which nobody has been handed yet."""
        ...

    def executing(self, run: v1.Run) -> AbstractContextManager[None]:
        """What is done inside the block is part of the run."""
        ...

    def stepping(self, run: v1.Run, step_id: str) -> AbstractContextManager[None]:
        """What is done inside the block is part of a step of the run."""
        ...

    def delivering(self, run: v1.Run, delivery_id: str, attempt: int) -> AbstractContextManager[None]:
        """A callback that tells of the run is sent inside the block."""
        ...

    def step_ended(self, run: v1.Run, step: v1.Step) -> None:
        """A step's end is durable."""
        ...

    def run_ended(self, run: v1.Run, continued: v1.Run | None, recoveries: Iterable[int]) -> None:
        """The end of a run is durable that has begun. `continued`: the one that it went on with, if that is known.
        `recoveries`: when another process took over, in ns since 1970."""
        ...


class NoTracer(Tracer):
    """Keeps nothing."""

    @property
    def is_on(self) -> bool:
        return False

    def call(self, method: str, headers: Headers) -> AbstractContextManager[Outcome]:
        return _UNTOLD

    def request(self, method: str, route: str, headers: Headers) -> AbstractContextManager[Outcome]:
        return _UNTOLD

    def accepting(self, run: v1.Run) -> AbstractContextManager[None]:
        return _NOTHING

    def executing(self, run: v1.Run) -> AbstractContextManager[None]:
        return _NOTHING

    def stepping(self, run: v1.Run, step_id: str) -> AbstractContextManager[None]:
        return _NOTHING

    def delivering(self, run: v1.Run, delivery_id: str, attempt: int) -> AbstractContextManager[None]:
        return _NOTHING

    def step_ended(self, run: v1.Run, step: v1.Step) -> None:
        pass

    def run_ended(self, run: v1.Run, continued: v1.Run | None, recoveries: Iterable[int]) -> None:
        pass


def _hear(_: str) -> None:
    """An outcome that nobody wants to know."""


_NOTHING = nullcontext()
_UNTOLD = nullcontext(_hear)

NO_TRACER = NoTracer()
