"""The seam between a run's execution and what an agent does in it.

The executor drives a `Body`: ask for the next step, perform it, record it, again, until there is an end. Results are
recorded in the store before the next step is asked for, so another dispatcher could drive the same body.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sendoff import v1
from sendoff_server.store.port import LeftOut


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a run is about."""

    tenant: str
    lane: str
    seq: int
    run: v1.Run
    request: v1.CreateMessageAsyncRequest
    input: Sequence[v1.Message]


@dataclass(frozen=True, slots=True)
class Step:
    """The next model call."""

    id: str
    index: int


@dataclass(frozen=True, slots=True)
class End:
    """The run is over."""

    reason: v1.StopReason.ValueType
    error: v1.RunError | None = None
    cancel_reason: str = ""
    left_out: LeftOut = LeftOut.NOTHING
    """Which of the run's entries are not shown any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step came to."""

    messages: Sequence[v1.Message] = ()
    """Final, with position."""
    usage: v1.Usage = field(default_factory=v1.Usage)
    end: End | None = None
    """Set when the run ends with this step."""
    provider_request_id: str = ""


class Live(Protocol):
    """What a step tells while it is under way."""

    @property
    def attempt(self) -> int:
        """The attempt of the run: 1, 2, 3."""
        ...

    async def calling(self, model_handle: str, message_id: str) -> None:
        """The model is called now and its answer will have that id. Returns once that is durable."""
        ...

    def write(self, part_index: int, kind: str, text: str) -> None:
        """Text of the answer, as it comes; `kind` is an arm of `MessageDelta.delta`."""
        ...

    async def back_off(self, reason: str, pause_s: float) -> None:
        """The answer under way will not come, because the model failed for that reason: tell so, and wait that long."""
        ...

    async def compacting(self) -> None:
        """Older messages are being summarized now; an answer under way will not come, because they left it no room.
        Returns once that is durable."""
        ...

    def compacted(self, messages: Sequence[v1.Message], usage: v1.Usage) -> None:
        """These entries stand for older ones from now on; making them used so much, which counts for the run and not as
        a step. They become durable together with what is told next, or with the run's end."""
        ...


class Body(Protocol):
    """What an agent does in a run."""

    def next_step(self, work: Work, done: Sequence[StepResult]) -> Step | End:
        """What comes after these steps."""
        ...

    async def perform(self, work: Work, step: Step, live: Live) -> StepResult:
        """Do a step. Its own failures are results; cancelling it ends the model call under way."""
        ...
