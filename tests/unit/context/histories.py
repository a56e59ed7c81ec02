"""Histories of conversations, as hypothesis makes them: turns, answers of several entries, tool calls and returns."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from sendoff import v1

_TEXTS = st.text(min_size=1, max_size=60)


def said(text: str) -> v1.Message:
    return v1.Message(user_message=v1.UserMessage(content=v1.Content(text=text)))


def answered(text: str) -> v1.Message:
    return v1.Message(assistant_message=v1.AssistantMessage(content=v1.Content(text=text)))


def thought(text: str) -> v1.Message:
    return v1.Message(reasoning_message=v1.ReasoningMessage(reasoning=text))


def called(*call_ids: str) -> v1.Message:
    calls = [v1.ToolCall(tool_call_id=call_id, name="look", arguments='{"at": "it"}') for call_id in call_ids]
    return v1.Message(tool_call_message=v1.ToolCallMessage(tool_calls=calls))


def returned(*call_ids: str, text: str = "seen") -> v1.Message:
    returns = [v1.ToolReturn(tool_call_id=call_id, tool_return=v1.Content(text=text)) for call_id in call_ids]
    return v1.Message(tool_return_message=v1.ToolReturnMessage(tool_returns=returns))


@st.composite
def _steps(draw: st.DrawFn) -> list[list[v1.Message]]:
    """What follows on somebody's words: answers, each a list of entries that share an id, and returns."""
    groups: list[list[v1.Message]] = []
    for _ in range(draw(st.integers(0, 3))):
        calls = [f"call-{draw(st.uuids())}" for _ in range(draw(st.integers(1, 2)))]
        groups.append([*([thought("hm")] if draw(st.booleans()) else []), called(*calls)])
        together = draw(st.booleans())
        groups += [[returned(*calls)]] if together else [[returned(call)] for call in calls]
    if draw(st.booleans()):
        groups.append([*([thought("so")] if draw(st.booleans()) else []), answered(draw(_TEXTS))])
    return groups


@st.composite
def histories(draw: st.DrawFn) -> list[v1.Message]:
    groups: list[list[v1.Message]] = []
    for _ in range(draw(st.integers(0, 5))):
        groups += [[said(draw(_TEXTS))] for _ in range(draw(st.integers(1, 2)))]
        groups += draw(_steps())
    return placed(groups)


def placed(groups: Sequence[Sequence[v1.Message]]) -> list[v1.Message]:
    """Entries with positions, and an id for each group."""
    history: list[v1.Message] = []
    for number, group in enumerate(groups):
        for entry in group:
            entry.id, entry.position = f"message-{number}", 10 + len(history)
            history.append(entry)
    return history


def check_valid(history: Sequence[v1.Message]) -> None:
    """What every provider insists on: no return without its call in front, no answer that lacks its beginning."""
    calls: set[str] = set()
    for entry in history:
        calls |= {call.tool_call_id for call in entry.tool_call_message.tool_calls}
        for each in entry.tool_return_message.tool_returns:
            assert each.tool_call_id in calls, "a return without its call"
