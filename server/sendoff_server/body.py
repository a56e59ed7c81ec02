"""The seam between a run's execution and what an agent does in it.

The executor drives a `Body`: ask what comes next, perform it, record it, again, until there is an end. What comes next
follows from what is done, and that is what the run's log tells: results are recorded in the store before the next step
is asked for, so another process, or another dispatcher, can go on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sendoff import v1
from sendoff_server.store.items import LeftOut
from sendoff_server.store.questions import History


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a run is about."""

    tenant: str
    lane: str
    seq: int
    run: v1.Run
    request: v1.CreateMessageAsyncRequest
    input: Sequence[v1.Message]
    paused_by: str = ""
    """The run whose pending actions are to be settled first; empty for none."""


# ---- what a run has done ----


@dataclass(slots=True)
class Made:
    """A call of a tool that the run has made, and what it returned."""

    call_id: str
    name: str
    output: str
    """Of all but the newest answer's calls only how it begins."""


@dataclass(slots=True)
class OpenAnswer:
    """An answer whose calls have no return yet."""

    step_id: str
    position: int
    """Of the entry that makes the calls."""
    calls: Sequence[v1.ToolCall]


@dataclass(slots=True)
class Done:
    """What a run has done so far, as its log tells it."""

    settled: bool = False
    """No call of an earlier run is left without a return. Known only to who has looked in this process."""
    has_settled: bool = False
    """There were such calls, and this run has settled them."""
    has_input: bool = False
    """The input is in the conversation."""
    entries: list[v1.Message] = field(default_factory=list)
    """The run's own, its input included, without those that a compaction of its own has left behind."""
    steps: int = 0
    """How many are over."""
    answered: bool = False
    """An answer of the model is in the conversation."""
    nudged: bool = False
    """It was an attempt to end the run, and was answered with a message that tells why the run does not end."""
    asking: v1.RunEvent | None = None
    """The start of a model call whose answer neither came nor was retracted."""
    open: OpenAnswer | None = None
    made: list[Made] = field(default_factory=list)
    """Calls that have returns, in order; those of earlier runs, which this one has settled, without a name."""
    call_ids: set[str] = field(default_factory=set)
    """Of all calls of the run."""
    started: dict[str, v1.ToolCallStarted] = field(default_factory=dict)
    """By call, the newest start. Also of calls of earlier runs, which this one makes."""
    finished: dict[str, v1.ToolReturn] = field(default_factory=dict)
    recoveries: list[int] = field(default_factory=list)
    """When another process took over, in ns since 1970."""
    usage: v1.Usage = field(default_factory=v1.Usage)
    past: History | None = None
    """What the conversation holds of earlier runs, once it was read."""


# ---- what comes next ----


@dataclass(frozen=True, slots=True)
class Step:
    """A model call, and the tool calls that it asks for."""

    id: str
    index: int


@dataclass(frozen=True, slots=True)
class Settle:
    """See to it that no call of an earlier run is without a return."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Call the model."""

    step: Step


@dataclass(frozen=True, slots=True)
class CallTools:
    """Call the tools that the newest answer asks for."""

    step: Step


Next = Settle | Ask | CallTools


@dataclass(frozen=True, slots=True)
class End:
    """The run is over."""

    reason: v1.StopReason.ValueType
    error: v1.RunError | None = None
    cancel_reason: str = ""
    left_out: LeftOut = LeftOut.NOTHING
    """Which of the run's entries are not shown any more."""


# ---- what came of it ----


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Calls of earlier runs have returns."""

    messages: Sequence[v1.Message] = ()
    resolved: Sequence[v1.ActionResolved] = ()
    continues: v1.Run | None = None
    """The run whose pending actions are settled with this."""
    opens: Sequence[v1.PendingAction] = ()
    """With an end: what is to be answered before anything goes on."""
    end: End | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The model has answered, or has not."""

    messages: Sequence[v1.Message] = ()
    """Final, with position."""
    usage: v1.Usage = field(default_factory=v1.Usage)
    tokens: Sequence[v1.TokenTurn] = ()
    calls: Sequence[str] = ()
    """Names of the tools that it calls."""
    provider_request_id: str = ""
    opens: Sequence[v1.PendingAction] = ()
    """With an end: what is to be answered before the calls go on."""
    end: End | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """The tools have returned."""

    messages: Sequence[v1.Message] = ()
    opens: Sequence[v1.PendingAction] = ()
    """With an end: calls of which nobody knows what became."""
    end: End | None = None


Result = Settled | Asked | Called


class Live(Protocol):
    """What a step tells while it is under way."""

    @property
    def attempt(self) -> int:
        """The attempt of the run: 1, 2, 3."""
        ...

    async def sure(self) -> None:
        """Return once this replica surely is the one that executes the run: to be asked right before each call of a
        model or a tool, which cannot be taken back."""
        ...

    async def calling(self, model: v1.Model, message_id: str) -> None:
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

    def compacted(self, messages: Sequence[v1.Message]) -> None:
        """These entries stand for older ones from now on. They become durable together with what is told next, or with
        the run's end."""
        ...

    def spent(self, usage: v1.Usage) -> None:
        """A model call used so much that is no step of its own."""
        ...

    async def tools_begin(self, step_id: str, calls: Sequence[v1.ToolCallStarted]) -> None:
        """These calls of that step's answer begin now. Returns once that is durable, and the answer with it."""
        ...

    async def tool_ended(self, step_id: str, ended: v1.ToolCallFinished, *, more: bool) -> None:
        """A tool gave this. `more`: others are still at work, so it is made durable at once; else it is with the
        result of the step."""
        ...


class Body(Protocol):
    """What an agent does in a run."""

    def next_step(self, work: Work, done: Done) -> Next | End:
        """What comes after that."""
        ...

    async def perform(self, work: Work, following: Next, done: Done, live: Live) -> Result:
        """Do it. Its own failures are results; cancelling it ends the calls of models and tools that are under way."""
        ...

    async def close(self, work: Work, done: Done, end: End) -> Settled:
        """What is to be written with such an end, which came from outside, so that every call has a return."""
        ...
