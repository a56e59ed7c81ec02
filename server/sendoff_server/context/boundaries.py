"""Where a history may begin, so that every provider takes it: not inside an answer, and no tool call apart from its
return. Pure rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sendoff import v1
from sendoff_server.context import tokens

SPOKEN = frozenset({"system_message", "user_message"})
"""Kinds with which somebody speaks to the agent."""
ANSWERED = frozenset(
    {
        "assistant_message",
        "reasoning_message",
        "hidden_reasoning_message",
        "tool_call_message",
        "approval_request_message",
    }
)
"""Kinds of which a model's answer consists."""


def from_a_turn_on(history: Sequence[v1.Message]) -> Sequence[v1.Message]:
    """History cut to begin where somebody speaks to the agent: providers refuse to begin with an answer."""
    if history and history[0].WhichOneof("kind") in SPOKEN:
        return history
    return history[next(_turns(history), len(history)) :]


def first_kept(history: Sequence[v1.Message], budget: int) -> int:
    """Index of the first entry to keep, so that the kept ones take no more tokens than that, and at least one entry
    goes. As many are kept as can be; the length of the history keeps none.

    The kept part begins where somebody speaks to the agent; within a single long turn, where an answer begins, which is
    right only because a summary stands in front.
    """
    first = _first_that_fits(history, budget)
    for begins in (_turns(history), _answers(history)):
        fitting = next((index for index in begins if index >= first), None)
        if fitting is not None:
            return fitting
    return len(history)


def _first_that_fits(history: Sequence[v1.Message], budget: int) -> int:
    for index in range(len(history) - 1, 0, -1):
        budget -= tokens.of_entry(history[index])
        if budget < 0:
            return index + 1
    return min(1, len(history))


def _turns(history: Sequence[v1.Message]) -> Iterator[int]:
    torn = _inside_a_call(history)
    return (i for i, entry in enumerate(history) if entry.WhichOneof("kind") in SPOKEN and i not in torn)


def _answers(history: Sequence[v1.Message]) -> Iterator[int]:
    torn = _inside_a_call(history)
    return (
        i
        for i, entry in enumerate(history)
        if entry.WhichOneof("kind") in ANSWERED and i not in torn and not (i and _is_one_answer(history[i - 1], entry))
    )


def _is_one_answer(before: v1.Message, entry: v1.Message) -> bool:
    """Whether both are of one answer: calls that wait for somebody may have an id of their own."""
    same_step = entry.HasField("step_id") and before.step_id == entry.step_id and before.run_id == entry.run_id
    return before.id == entry.id or (same_step and before.WhichOneof("kind") in ANSWERED)


def _inside_a_call(history: Sequence[v1.Message]) -> set[int]:
    """Indexes behind a tool call and not behind its last return: to begin there would leave a return without its
    call."""
    called: dict[str, int] = {}
    inside: set[int] = set()
    for index, entry in enumerate(history):
        called.update(dict.fromkeys(_calls(entry), index))
        for call_id in _returns(entry):
            inside.update(range(called.get(call_id, index) + 1, index + 1))
    return inside


def _calls(entry: v1.Message) -> Iterator[str]:
    for call in (*entry.tool_call_message.tool_calls, *entry.approval_request_message.tool_calls):
        yield call.tool_call_id
    for part in entry.assistant_message.content.parts.parts:
        if part.HasField("tool_call"):
            yield part.tool_call.id


def _returns(entry: v1.Message) -> Iterator[str]:
    for returned in entry.tool_return_message.tool_returns:
        yield returned.tool_call_id
    for decision in entry.approval_response_message.approvals:
        yield decision.approval.tool_call_id or decision.tool.tool_call_id
    for part in entry.assistant_message.content.parts.parts:
        if part.HasField("tool_return"):
            yield part.tool_return.tool_call_id
