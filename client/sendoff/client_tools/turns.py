"""Works on a turn whose tools run here: what to call, what to ask, what to answer. Decides only; the clients do it.

while True:
    hand the entries of a watch of `run_id` to `take`
    tell `stands` how the run is, and answer what it returns
    tell `answered` what came of it
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sendoff import actions, v1
from sendoff.client_tools.functions import FunctionTool, ToolFunction, by_name
from sendoff.errors import ActionAlreadyAnswered, InvalidToolCallIds, NoPendingAction, SendoffError
from sendoff.requests import SendOptions
from sendoff.retry import Timing
from sendoff.transcript import Transcript
from sendoff.watching import Entry, WatchOptions

Answer: TypeAlias = bool | str | v1.ActionDecision | None
"""Whether a call may run. True: yes; False: no; text: no, and why, which the model reads; a decision of
`sendoff.actions`, with other arguments for example; None: it is left open, for somebody else to answer."""

Approve: TypeAlias = Callable[[v1.PendingAction], Answer | Awaitable[Answer]]
"""Asked for each approval. Its `kind` ACTION_KIND_RESOLVE_UNKNOWN_OUTCOME says that nobody knows whether the call has
run: yes is to run it again."""

OnEntry: TypeAlias = Callable[[Entry], object]
"""Told each entry of the logs, and the text being written, as `watch` yields them."""

Answered: TypeAlias = tuple[v1.PendingAction, v1.ActionDecision]


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of a message, over all runs of its turn."""

    run: v1.Run
    """The newest run of the turn, as it ended; or as it stood when the time was up, or when it waited for others."""
    text: str
    """What the agent said, its messages parted by empty lines."""
    rounds: int
    """How often it was answered here."""

    @property
    def open_actions(self) -> list[v1.PendingAction]:
        """What it still waits for. Empty once the turn is over."""
        return _undecided(self.run)


class TurnWork:
    """Where the work on a turn stands."""

    def __init__(
        self,
        tools: Sequence[ToolFunction],
        *,
        on_entry: OnEntry | None,
        tool_timeout_s: float,
        max_rounds: int,
        timeout_s: float | None,
        timing: Timing,
    ) -> None:
        """Raises NoSchema and ValueError for tools that cannot be such, and for limits that nothing could keep."""
        if tool_timeout_s <= 0:
            raise ValueError(f"tool_timeout_s is {tool_timeout_s}; expected more than 0")
        self.tools: Mapping[str, FunctionTool] = by_name(tools)
        self.run_id = ""
        """The newest run that is known of the turn."""
        self._after = 0
        """The last event of it that was seen."""
        self._on_entry = on_entry
        self._tool_timeout_s = tool_timeout_s
        self._rounds = 0
        self._max_rounds = max_rounds
        self._monotonic = timing.monotonic
        self._deadline = None if timeout_s is None else timing.monotonic() + timeout_s
        self._transcript = Transcript()
        self._known: dict[tuple[str, str], v1.ActionDecision] = {}
        """Answers by run and call, so that no call is made twice because its answer was not taken."""

    @property
    def tool_limit_s(self) -> float:
        """How long the calls of this round may take."""
        return min(self._tool_timeout_s, self._remaining_s())

    def sending(self, options: SendOptions) -> SendOptions:
        """How to send the message, with the tools that run here beside those that were given."""
        others = options.get("client_tools") or ()
        return {**options, "client_tools": [*others, *(each.tool for each in self.tools.values())]}

    def follow(self, run_id: str) -> None:
        """Go on with this run."""
        if run_id != self.run_id:
            self.run_id, self._after = run_id, 0

    def watching(self) -> WatchOptions:
        """How to watch `run_id`."""
        options: WatchOptions = {"after_sequence": self._after, "include_deltas": self._on_entry is not None}
        if self._deadline is not None:
            options["timeout_s"] = self._remaining_s()
        return options

    def take(self, entry: Entry) -> None:
        """Take in an entry of the watch."""
        if isinstance(entry, v1.RunEvent):
            self._after = entry.sequence
        self._transcript.apply(entry)
        if self._on_entry is not None:
            self._on_entry(entry)

    def stands(self, run: v1.Run) -> list[v1.PendingAction] | None:
        """The run was followed to its end, or as long as there was time: what to answer now.

        None: go on with `run_id`, somebody else has answered. Empty: nothing more is to be done here.
        """
        if run.HasField("continued_by_run_id"):
            self.follow(run.continued_by_run_id)
            return None
        if self._rounds >= self._max_rounds or self._remaining_s() <= 0:
            return []
        return _undecided(run)

    def known(self, action: v1.PendingAction) -> v1.ActionDecision | None:
        """The answer that was found in an earlier round, if there is one."""
        return self._known.get((action.run_id, action.tool_call_id))

    def tool_of(self, action: v1.PendingAction) -> FunctionTool | None:
        """The tool that runs here and is called. None: it is another's, or an approval is asked for."""
        return self.tools.get(action.call.name) if action.kind == v1.ACTION_KIND_CLIENT_TOOL else None

    def wants_approval(self, action: v1.PendingAction) -> bool:
        """Whether it is a question for the one who approves. What a newer server asks for is none."""
        return action.kind in (v1.ACTION_KIND_APPROVAL, v1.ACTION_KIND_RESOLVE_UNKNOWN_OUTCOME)

    def found(self, answers: Sequence[Answered]) -> None:
        """Keep the answers of this round."""
        self._rounds += bool(answers)
        self._known.update({(action.run_id, action.tool_call_id): given for action, given in answers})

    def answered(self, response: v1.RespondToActionsResponse) -> bool:
        """The answers were taken: whether a run goes on with them."""
        if response.HasField("run"):
            self.follow(response.run.id)
        return response.HasField("run")

    def is_news(self, run: v1.Run, answers: Sequence[Answered]) -> bool:
        """Answers were not taken: whether the run no longer waits for all that they answer."""
        waiting = {action.tool_call_id for action in _undecided(run)}
        return run.HasField("continued_by_run_id") or any(a.tool_call_id not in waiting for a, _ in answers)

    def turn(self, run: v1.Run) -> Turn:
        """What came of it."""
        return Turn(run, self._transcript.text, self._rounds)

    def _remaining_s(self) -> float:
        return float("inf") if self._deadline is None else max(0.0, self._deadline - self._monotonic())


def decision(action: v1.PendingAction, answer: Answer) -> v1.ActionDecision | None:
    """The decision that an answer means; None for none. Raises TypeError for what is no answer."""
    if answer is None or isinstance(answer, v1.ActionDecision):
        return answer
    if isinstance(answer, str):
        return actions.denial(action, answer)
    if isinstance(answer, bool):
        return actions.approval(action) if answer else actions.denial(action)
    raise TypeError(f"approve returned {answer!r}; expected True, False, a reason, a decision or None")


def is_overtaken(error: SendoffError) -> bool:
    """Whether an answer was not taken because somebody else was faster, or the time for it was up."""
    return isinstance(error, (ActionAlreadyAnswered, InvalidToolCallIds, NoPendingAction))


def _undecided(run: v1.Run) -> list[v1.PendingAction]:
    return [each for each in run.pending_actions if each.run_id == run.id and not each.HasField("decision")]
