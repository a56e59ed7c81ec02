"""Calls of the tool through which an agent speaks are listed as its words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sendoff import v1
from sendoff_server.assistant_messages import Translation

MESSAGE_ID = "message-5d2e9b71-c0a8-4f36-a1d4-8be370f2c94e"
ERROR, SUCCESS = v1.TOOL_RETURN_STATUS_ERROR, v1.TOOL_RETURN_STATUS_SUCCESS


def translation(**config: Any) -> Translation:
    given: dict[str, Any] = {
        "use_assistant_message": True,
        "assistant_message_tool_name": "send_message",
        "assistant_message_tool_kwarg": "message",
    }
    return Translation(v1.RequestConfig(**(given | config)))


def call(call_id: str, arguments: Any, name: str = "send_message") -> v1.ToolCall:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return v1.ToolCall(tool_call_id=call_id, name=name, arguments=text)


def calling(*calls: v1.ToolCall) -> v1.Message:
    return v1.Message(
        id=MESSAGE_ID,
        otid="otid-1",
        step_id="step-1",
        run_id="run-1",
        position=7,
        tool_call_message=v1.ToolCallMessage(tool_calls=calls),
    )


def returning(*returns: tuple[str, v1.ToolReturnStatus.ValueType]) -> v1.Message:
    items = [
        v1.ToolReturn(tool_call_id=call_id, status=status, tool_return=v1.Content(text="None"))
        for call_id, status in returns
    ]
    return v1.Message(id="message-2", tool_return_message=v1.ToolReturnMessage(tool_returns=items))


def said(messages: list[v1.Message]) -> list[str]:
    """What each is, in short: its words, thoughts, calls or returns."""
    told = []
    for message in messages:
        match message.WhichOneof("kind"):
            case "assistant_message":
                told.append(message.assistant_message.content.text)
            case "reasoning_message":
                told.append(f"({message.reasoning_message.reasoning})")
            case "tool_call_message":
                told.append("calls " + " ".join(each.tool_call_id for each in message.tool_call_message.tool_calls))
            case "tool_return_message":
                returns = message.tool_return_message.tool_returns
                told.append("returns " + " ".join(each.tool_call_id for each in returns))
            case kind:
                told.append(str(kind))
    return told


def test_a_call_of_the_tool_becomes_its_words_in_its_place() -> None:
    (shown,) = translation().shown(calling(call("c1", {"message": "Table 7 is free."})))
    words = v1.AssistantMessage(content=v1.Content(text="Table 7 is free."))
    assert shown == v1.Message(
        id=MESSAGE_ID, otid="otid-1", step_id="step-1", run_id="run-1", position=7, assistant_message=words
    )


def test_its_return_is_left_out_unless_it_is_an_error() -> None:
    engine = translation()
    engine.shown(calling(call("c1", {"message": "a"}), call("c2", {"message": "b"}), call("c3", {}, name="look")))
    assert engine.shown(returning(("c1", SUCCESS))) == []
    assert said(engine.shown(returning(("c1", SUCCESS), ("c3", SUCCESS)))) == ["returns c3"]
    assert said(engine.shown(returning(("c1", ERROR), ("c2", SUCCESS)))) == ["returns c1"]
    assert said(engine.shown(returning(("c4", SUCCESS)))) == ["returns c4"]


def test_thoughts_in_an_argument_stand_before_the_words() -> None:
    shown = translation().shown(calling(call("c1", {"thinking": "Two people.", "message": "Hello"})))
    assert said(shown) == ["(Two people.)", "Hello"]
    assert shown[0].reasoning_message.source == "non_reasoner_model"


@pytest.mark.parametrize("thinking", ["", None, 3, ["a"]])
def test_thoughts_that_are_no_text_are_left_out(thinking: Any) -> None:
    shown = translation().shown(calling(call("c1", {"thinking": thinking, "message": "Hello"})))
    assert said(shown) == ["Hello"]


def test_of_several_calls_those_that_speak_are_translated_and_all_keep_their_order() -> None:
    calls = (
        call("c1", {}, name="look"),
        call("c2", {}, name="book"),
        call("c3", {"message": "Booked."}),
        call("c4", {}, name="pay"),
        call("c5", {"message": "Paid."}),
    )
    shown = translation().shown(calling(*calls))
    assert said(shown) == ["calls c1 c2", "Booked.", "calls c4", "Paid."]
    assert {message.id for message in shown} == {MESSAGE_ID}
    assert shown[0].otid == "otid-1"
    assert len({message.otid for message in shown}) == 4
    assert [message.otid for message in shown] == [message.otid for message in translation().shown(calling(*calls))]


@pytest.mark.parametrize(
    "arguments",
    ['{"message": "Hel', "", "[]", "null", {}, {"message": 3}, {"Message": "hi"}, "[" * 100_000],
    ids=["cut off", "empty", "a list", "null", "none", "a number", "another case", "too deep"],
)
def test_words_that_cannot_be_read_stay_a_call_with_its_return(arguments: Any) -> None:
    engine = translation()
    entry = calling(call("c1", arguments))
    assert engine.shown(entry) == [entry]
    returned = returning(("c1", SUCCESS))
    assert engine.shown(returned) == [returned]


def test_a_lone_surrogate_in_the_words_is_replaced() -> None:
    assert said(translation().shown(calling(call("c1", '{"message": "a\\ud800b"}')))) == ["a?b"]


def test_the_request_names_the_tool_and_its_argument() -> None:
    engine = translation(assistant_message_tool_name="say", assistant_message_tool_kwarg="words")
    assert said(engine.shown(calling(call("c1", {"words": "Hello"}, name="say")))) == ["Hello"]
    assert said(engine.shown(calling(call("c2", {"message": "Hello"})))) == ["calls c2"]


def test_a_request_that_wants_the_calls_gets_them() -> None:
    engine = translation(use_assistant_message=False)
    entry, returned = calling(call("c1", {"message": "Hello"})), returning(("c1", SUCCESS))
    assert engine.shown(entry) == [entry]
    assert engine.shown(returned) == [returned]


def test_a_call_that_waits_for_an_approval_stays_a_request() -> None:
    waiting = v1.ApprovalRequestMessage(tool_calls=[call("c1", {"message": "Hello"})])
    entry = v1.Message(approval_request_message=waiting)
    assert translation().shown(entry) == [entry]
