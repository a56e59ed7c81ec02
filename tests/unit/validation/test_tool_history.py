"""Imported tool calls and their returns fit together, so that every provider takes the history."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import ModelMessage, ModelRequest, ToolCallPart, ToolReturnPart

from sendoff import v1
from sendoff_server.errors import InvalidRequest
from sendoff_server.models.dialect import Dialect
from sendoff_server.models.mapping import history
from sendoff_server.models.port import ModelCall
from tests.unit.validation.checking import check, violated
from tests.unit.validation.rule_cases import a_call, a_return, part, sending


def called(*call_ids: str) -> list[v1.ContentPart]:
    return [a_call(id=call_id) for call_id in call_ids]


def returned(*call_ids: str) -> list[v1.ContentPart]:
    return [a_return(tool_call_id=call_id) for call_id in call_ids]


def says(*parts: v1.ContentPart) -> v1.InputMessage:
    content = v1.Content(parts=v1.Content.Parts(parts=parts))
    return v1.InputMessage(message=v1.MessageCreate(role=v1.ROLE_ASSISTANT, content=content))


def at(message: int, index: int, field: str) -> str:
    return f"messages.messages[{message}].message.content.parts.parts[{index}].{field}"


HELLO = v1.InputMessage(message=v1.MessageCreate(role=v1.ROLE_USER, content=v1.Content(text="hi")))
DONE = v1.InputMessage(message=v1.MessageCreate(role=v1.ROLE_ASSISTANT, content=v1.Content(text="done")))


@pytest.mark.parametrize(
    "messages",
    [
        [HELLO, says(part(), *called("a")), says(*returned("a")), DONE],
        [says(*called("a", "b"), *returned("b", "a"), part())],
        [says(*called("a", "b")), says(*returned("a")), says(*returned("b")), HELLO],
        [says(*called("a"), *returned("a"), *called("b"), *returned("b")), DONE],
    ],
)
def test_calls_with_their_returns_right_behind_them_are_taken(messages: list[v1.InputMessage]) -> None:
    assert violated(sending(*messages)) == []


@pytest.mark.parametrize(
    ("messages", "paths"),
    [
        ([says(*called("a", "b"))], [at(0, 0, "tool_call"), at(0, 1, "tool_call")]),
        ([says(*called("a")), HELLO, says(*returned("a"))], [at(0, 0, "tool_call")]),
        ([says(*called("a")), DONE, says(*returned("a"))], [at(0, 0, "tool_call")]),
        ([says(*called("a")), says(part(), *returned("a"))], [at(0, 0, "tool_call")]),
        ([says(*called("a")), says(*called("b")), says(*returned("a", "b"))], [at(0, 0, "tool_call")]),
        ([says(*called("a", "b"), *returned("a"), *called("c"), *returned("b", "c"))], [at(0, 1, "tool_call")]),
        ([says(*called("a", "b"), *returned("a"), part(), *returned("b"))], [at(0, 1, "tool_call")]),
        ([says(*returned("a")), says(*called("a"))], [at(0, 0, "tool_return.tool_call_id"), at(1, 0, "tool_call")]),
        ([says(*called("a"), *returned("a", "a"))], [at(0, 2, "tool_return.tool_call_id")]),
        (
            [says(*called("a"), *returned("a")), says(*called("a"), *returned("b"))],
            [
                at(1, 0, "tool_call.id"),
                at(1, 1, "tool_return.tool_call_id"),
            ],
        ),
    ],
)
def test_each_call_and_return_without_the_other_is_told_at_its_place(
    messages: list[v1.InputMessage], paths: list[str]
) -> None:
    assert violated(sending(*messages)) == paths


def test_what_is_wrong_names_the_call() -> None:
    with pytest.raises(InvalidRequest) as raised:
        check(sending(says(*called("a"))))
    told = [violation.description for violation in raised.value.violations]
    assert told == ["the call 'a' needs its tool_return before anything else is said"]


@st.composite
def _turns(draw: st.DrawFn) -> list[v1.InputMessage]:
    """Turns with calls and their returns, in one message or several, and perhaps one part lost or told twice."""
    messages: list[v1.InputMessage] = []
    for letter in draw(st.lists(st.sampled_from("abcd"), max_size=3, unique=True)):
        ids = [f"{letter}{number}" for number in range(draw(st.integers(1, 3)))]
        calls, returns = called(*ids), returned(*draw(st.permutations(ids)))
        messages += draw(
            st.sampled_from(
                [
                    [says(part(), *calls, *returns, part())],
                    [HELLO, says(*calls), *map(says, returns)],
                    [says(*calls), says(*returns, part()), DONE],
                ]
            )
        )
    spoil: bool = draw(st.booleans())
    spoilt = draw(st.sampled_from(messages)) if messages and spoil else HELLO
    if parts := list(spoilt.message.content.parts.parts):
        lost = draw(st.integers(0, len(parts) - 1))
        changed = parts[:lost] + [parts[lost]] * draw(st.sampled_from([0, 2])) + parts[lost + 1 :]
        messages = [says(*changed) if message is spoilt else message for message in messages]
    return [m for m in messages if m.message.content.text or m.message.content.parts.parts] or [HELLO]


def _entry(message: v1.MessageCreate, message_id: str) -> v1.Message:
    if message.role == v1.ROLE_USER:
        return v1.Message(id=message_id, user_message=v1.UserMessage(content=message.content))
    return v1.Message(id=message_id, assistant_message=v1.AssistantMessage(content=message.content))


def _ids(entry: ModelMessage, kind: type[ToolCallPart | ToolReturnPart]) -> list[str]:
    return sorted(each.tool_call_id for each in entry.parts if isinstance(each, kind))


@given(_turns())
def test_what_is_taken_is_shown_whole_and_every_call_is_answered_by_the_next_request(
    messages: list[v1.InputMessage],
) -> None:
    if violated(sending(*messages)):
        return
    entries = [_entry(message.message, f"message-{index}") for index, message in enumerate(messages)]
    question = ModelCall(handle="alpha/a", system="", messages=entries, run_id="run-1", attempt=0)
    shown = history(question, Dialect(system="alpha"))
    imported = [each for message in messages for each in message.message.content.parts.parts]
    made = sorted(each.tool_call.id for each in imported if each.HasField("tool_call"))
    assert sorted(i for entry in shown for i in _ids(entry, ToolCallPart)) == made
    assert sorted(i for entry in shown for i in _ids(entry, ToolReturnPart)) == made
    for entry, following in zip(shown, [*shown[1:], ModelRequest([])], strict=True):
        if calls := _ids(entry, ToolCallPart):
            assert _ids(following, ToolReturnPart) == calls


@given(_turns())
def test_what_is_refused_lacks_a_call_or_a_return_or_has_one_twice(messages: list[v1.InputMessage]) -> None:
    imported = [each for message in messages for each in message.message.content.parts.parts]
    calls = sorted(each.tool_call.id for each in imported if each.HasField("tool_call"))
    returns = sorted(each.tool_return.tool_call_id for each in imported if each.HasField("tool_return"))
    assert (violated(sending(*messages)) == []) == (calls == returns and len(set(calls)) == len(calls))
