"""Our history as the model library takes it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from pydantic_ai.messages import (
    BinaryContent,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from sendoff import v1
from sendoff_server.models.dialect import Dialect
from sendoff_server.models.mapping import history
from sendoff_server.models.port import ModelCall, ModelFailed
from sendoff_server.models.seals import opened, seal
from tests.unit.models.asking import user

SUCCESS = v1.ToolReturnStatus.TOOL_RETURN_STATUS_SUCCESS
ERROR = v1.ToolReturnStatus.TOOL_RETURN_STATUS_ERROR


PICTURE = v1.Image(base64=v1.Image.Base64(data=b"png", media_type="image/png"))


ALPHA = Dialect(system="alpha", signs_reasoning=True)


def written(messages: Sequence[v1.Message], dialect: Dialect = ALPHA, system: str = "") -> list[ModelMessage]:
    call = ModelCall(handle="alpha/small", system=system, messages=messages, run_id="run-1", attempt=0)
    return history(call, dialect)


def said_by_tool(messages: Sequence[v1.Message]) -> dict[str, str]:
    """What the first return of the first answer tells the model."""
    part = written(messages)[1].parts[0]
    assert isinstance(part, ToolReturnPart)
    told: dict[str, str] = json.loads(str(part.content))
    return told


def shapes(messages: Sequence[ModelMessage]) -> list[tuple[type, list[type]]]:
    return [(type(message), [type(part) for part in message.parts]) for message in messages]


def assistant(*parts: v1.ContentPart, answer_id: str = "message-a") -> v1.Message:
    content = v1.Content(parts=v1.Content.Parts(parts=parts))
    return v1.Message(id=answer_id, assistant_message=v1.AssistantMessage(content=content))


def says(text: str, answer_id: str = "message-a") -> v1.Message:
    return v1.Message(id=answer_id, assistant_message=v1.AssistantMessage(content=v1.Content(text=text)))


def calls(*call_ids: str, answer_id: str = "message-a", arguments: str = '{"x":1}') -> v1.Message:
    made = [v1.ToolCall(tool_call_id=call_id, name="tool", arguments=arguments) for call_id in call_ids]
    return v1.Message(id=answer_id, tool_call_message=v1.ToolCallMessage(tool_calls=made))


def returns(call_id: str, text: str, status: v1.ToolReturnStatus.ValueType = SUCCESS) -> v1.Message:
    returned = v1.ToolReturn(tool_call_id=call_id, status=status, tool_return=v1.Content(text=text))
    return v1.Message(id="message-r", tool_return_message=v1.ToolReturnMessage(tool_returns=[returned]))


def shows(image: v1.Image) -> v1.Message:
    parts = [v1.ContentPart(text=v1.Text(text="look")), v1.ContentPart(image=image)]
    content = v1.Content(parts=v1.Content.Parts(parts=parts))
    return v1.Message(id="message-u", user_message=v1.UserMessage(content=content))


def test_the_system_prompt_stands_in_front() -> None:
    (request,) = written([user("hi")], system="Be brief.")
    assert isinstance(request, ModelRequest)
    assert [part.content for part in request.parts if isinstance(part, SystemPromptPart | UserPromptPart)] == [
        "Be brief.",
        "hi",
    ]


def test_entries_that_share_an_id_are_one_answer_and_others_are_not() -> None:
    assert shapes(written([user("hi"), says("one"), calls("c1"), returns("c1", "ok"), says("two", "message-b")])) == [
        (ModelRequest, [UserPromptPart]),
        (ModelResponse, [TextPart, ToolCallPart]),
        (ModelRequest, [ToolReturnPart]),
        (ModelResponse, [TextPart]),
    ]
    assert shapes(written([says("one"), says("two", "message-b")])) == [
        (ModelResponse, [TextPart]),
        (ModelResponse, [TextPart]),
    ]


def test_imported_parts_become_calls_and_returns_in_turn() -> None:
    call = v1.ContentPart(tool_call=v1.ToolCallPart(id="c1", name="tool", input=v1.JsonObject(json='{"x":1}')))
    answer = v1.ContentPart(tool_return=v1.ToolReturnPart(tool_call_id="c1", content="no", is_error=True))
    text = v1.ContentPart(text=v1.Text(text="done"))
    messages = written([user("hi"), assistant(text, call, answer, text)])
    assert shapes(messages)[1:] == [
        (ModelResponse, [TextPart, ToolCallPart]),
        (ModelRequest, [ToolReturnPart]),
        (ModelResponse, [TextPart]),
    ]
    returned = messages[2].parts[0]
    assert isinstance(returned, ToolReturnPart)
    assert (returned.tool_name, returned.content, returned.outcome) == ("tool", "no", "failed")


@pytest.mark.parametrize("odd", ["", "a b", "call|item", "é", "x" * 41])
def test_ids_that_a_provider_would_refuse_are_replaced_in_call_and_return(odd: str) -> None:
    messages = written([calls("c1", odd, "call_2"), returns(odd, "ok"), returns("c1", "ok"), returns("call_2", "ok")])
    made = [part.tool_call_id for part in messages[0].parts if isinstance(part, ToolCallPart)]
    returned = [part.tool_call_id for part in messages[1].parts if isinstance(part, ToolReturnPart)]
    assert made == ["c1", "call_0", "call_2"]
    assert returned == ["call_0", "c1", "call_2"]


@pytest.mark.parametrize("blank", ["", " \n"])
def test_a_tool_that_returned_nothing_is_shown_so(blank: str) -> None:
    returned = v1.ContentPart(tool_return=v1.ToolReturnPart(tool_call_id="c1", content=blank))
    (imported,) = written([calls("c1"), assistant(returned)])[1].parts
    assert isinstance(imported, ToolReturnPart)
    assert imported.content == "(nothing)"
    assert said_by_tool([calls("c1"), returns("c1", blank)])["message"] == "(nothing)"


def test_a_history_that_was_imported_twice_has_no_id_twice() -> None:
    once = [calls("call_1"), returns("call_1", "ok")]
    messages = written([*once, says("done", "message-b"), *once])
    ids = [part.tool_call_id for message in messages for part in message.parts if isinstance(part, ToolCallPart)]
    returned = [part.tool_call_id for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
    assert ids == returned
    assert len(set(ids)) == 2


def test_arguments_stay_as_the_model_wrote_them() -> None:
    (part,) = written([calls("c1", arguments='{"x": ')])[0].parts
    assert isinstance(part, ToolCallPart)
    assert part.args == '{"x": '


def test_a_return_without_a_call_and_a_second_return_are_left_out() -> None:
    messages = written([returns("c0", "lost"), calls("c1"), returns("c1", "first"), returns("c1", "second")])
    (part,) = messages[1].parts
    assert isinstance(part, ToolReturnPart)
    assert "first" in str(part.content)
    assert len(messages) == 2


def test_a_call_without_a_return_gets_one_before_anything_else_is_said() -> None:
    messages = written([calls("c1", "c2"), returns("c2", "ok"), user("well?"), says("hm", "message-b"), calls("c3")])
    assert shapes(messages) == [
        (ModelResponse, [ToolCallPart, ToolCallPart]),
        (ModelRequest, [ToolReturnPart, ToolReturnPart, UserPromptPart]),
        (ModelResponse, [TextPart]),
        (ModelResponse, [ToolCallPart]),
        (ModelRequest, [ToolReturnPart]),
    ]
    told = [part.content for part in messages[1].parts if isinstance(part, ToolReturnPart)]
    assert told[1] == "Error: the result of this call is not known."


def test_a_name_that_no_provider_takes_is_made_one_that_they_do() -> None:
    made = [v1.ToolCall(tool_call_id="c1", name="look up é" + "x" * 80)]
    call = v1.Message(id="message-a", tool_call_message=v1.ToolCallMessage(tool_calls=made))
    (part,) = written([call, returns("c1", "ok")])[0].parts
    assert isinstance(part, ToolCallPart)
    assert part.tool_name == "look_up__" + "x" * 55


def test_a_result_is_told_with_its_status_and_time() -> None:
    returned = returns("c1", "no rain\u2026", ERROR)
    returned.create_time.FromJsonString("2026-03-04T10:15:01.9Z")
    returned.tool_return_message.tool_returns[0].stdout.lines.append("printed")
    (part,) = written([calls("c1"), returned])[1].parts
    assert isinstance(part, ToolReturnPart)
    assert part.content == (
        '{\n  "status": "Failed",\n  "message": "no rain\u2026\\nprinted",\n'
        '  "time": "2026-03-04 10:15:01 AM UTC+0000"\n}'
    )
    assert part.outcome == "success", "the text tells; this provider has no mark for errors"
    returned.create_time.FromJsonString("2026-03-04T22:05:00Z")
    assert said_by_tool([calls("c1"), returned])["time"] == "2026-03-04 10:05:00 PM UTC+0000"


def test_images_that_a_tool_returned_follow_where_returns_cannot_hold_them() -> None:
    parts = [v1.ContentPart(text=v1.Text(text="a map")), v1.ContentPart(image=PICTURE)]
    result = v1.ToolReturn(tool_call_id="c1", tool_return=v1.Content(parts=v1.Content.Parts(parts=parts)))
    shown = v1.Message(id="r", tool_return_message=v1.ToolReturnMessage(tool_returns=[result]))
    asked = [calls("c1", "c2"), shown, returns("c2", "ok"), user("and?")]
    assert said_by_tool(asked)["message"] == "a map\n[image]"
    request = written(asked)[1]
    assert [type(part) for part in request.parts] == [ToolReturnPart, ToolReturnPart, UserPromptPart, UserPromptPart]
    follows = request.parts[2]
    assert isinstance(follows, UserPromptPart)
    assert list(follows.content) == ["What tool returned (c1) shows:", BinaryContent(b"png", media_type="image/png")]
    (blind,) = written([*asked[:2], returns("c2", "ok")], Dialect(system="alpha", takes_images=False))[1:]
    assert [type(part) for part in blind.parts] == [ToolReturnPart, ToolReturnPart]


def test_answers_to_pending_calls_are_not_told_beside_the_results() -> None:
    tool = v1.ToolReturn(tool_call_id="c1", status=ERROR, tool_return=v1.Content(text="as the caller sent it"))
    decisions = [v1.ActionDecision(tool=tool), v1.ActionDecision(approval=v1.Approval(tool_call_id="c2", approve=True))]
    response = v1.Message(id="m", approval_response_message=v1.ApprovalResponseMessage(approvals=decisions))
    asked = v1.Message(id="message-a", approval_request_message=v1.ApprovalRequestMessage())
    asked.approval_request_message.tool_calls.extend(calls("c1", "c2").tool_call_message.tool_calls)
    messages = written([asked, response, returns("c1", "as it was kept", ERROR), returns("c2", "ok")])
    assert shapes(messages)[1:] == [(ModelRequest, [ToolReturnPart, ToolReturnPart])]
    (first, _) = messages[1].parts
    assert isinstance(first, ToolReturnPart)
    assert "as it was kept" in str(first.content)


def test_reasoning_is_sent_only_to_the_system_that_signed_it() -> None:
    def reasoning(signature: str) -> v1.Message:
        said = v1.ReasoningMessage(reasoning="hm", signature=signature)
        return v1.Message(id="message-a", reasoning_message=said)

    (response,) = written([reasoning(seal("alpha", "rs_1", "s:i:g")), reasoning(seal("beta", "", "sig")), says("a")])
    assert response.parts[0] == ThinkingPart("hm", id="rs_1", signature="s:i:g", provider_name="alpha")
    assert [type(part) for part in response.parts] == [ThinkingPart, TextPart]
    assert shapes(written([reasoning("cmF3IHNpZ25hdHVyZQ=="), says("a")])) == [(ModelResponse, [TextPart])]


def test_summarized_redacted_and_omitted_reasoning_go_back_by_their_seals() -> None:
    summary = [v1.SummarizedReasoning.Part(index=index, text=text) for index, text in enumerate(["one", "two"])]
    summarized = v1.SummarizedReasoning(id="rs_1", summary=summary, encrypted_content=seal("alpha", "rs_1", "enc"))
    redacted = v1.RedactedReasoning(data=seal("alpha", "redacted_thinking", "data"))
    omitted = v1.OmittedReasoning(signature=seal("alpha", "", "sig"))
    (response,) = written(
        [
            assistant(
                v1.ContentPart(summarized_reasoning=summarized),
                v1.ContentPart(redacted_reasoning=redacted),
                v1.ContentPart(omitted_reasoning=omitted),
            )
        ]
    )
    assert response.parts == [
        ThinkingPart("one\n\ntwo", id="rs_1", signature="enc", provider_name="alpha"),
        ThinkingPart("", id="redacted_thinking", signature="data", provider_name="alpha"),
        ThinkingPart("", signature="sig", provider_name="alpha"),
    ]


def test_images_come_by_url_and_by_value() -> None:
    base64 = v1.Image.Base64(data=b"png", media_type="image/png", detail="low")
    stored = v1.Image.Stored(file_id="file-1", data=b"png", media_type="image/png", detail="high")
    for image, expected in [
        (
            v1.Image(letta=stored),
            BinaryContent(b"png", media_type="image/png", vendor_metadata={"detail": "high"}),
        ),
        (v1.Image(url=v1.Image.Url(url="https://example.com/a.png")), ImageUrl("https://example.com/a.png")),
        (
            v1.Image(url=v1.Image.Url(url="data:image/png;base64,cG5n")),
            BinaryContent(b"png", media_type="image/png"),
        ),
        (
            v1.Image(base64=base64),
            BinaryContent(b"png", media_type="image/png", vendor_metadata={"detail": "low"}),
        ),
    ]:
        (part,) = written([shows(image)])[0].parts
        assert isinstance(part, UserPromptPart)
        assert list(part.content) == ["look", expected]


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (shows(v1.Image(letta=v1.Image.Stored(file_id="file-1"))), "stored image"),
        (shows(v1.Image(url=v1.Image.Url(url="data:text/plain,hello"))), "data URL"),
        (shows(v1.Image(url=v1.Image.Url(url="data:image/png;base64,%%%"))), "data URL"),
        (assistant(v1.ContentPart(image=v1.Image())), "assistant message"),
    ],
)
def test_what_cannot_be_sent_is_rejected(message: v1.Message, told: str) -> None:
    with pytest.raises(ModelFailed, match=told) as caught:
        written([message])
    assert caught.value.reason == "MODEL_REJECTED_REQUEST"


def test_summaries_are_told_and_events_are_not() -> None:
    summary = v1.Message(id="m", summary_message=v1.SummaryMessage(summary="before"))
    event = v1.Message(id="e", event_message=v1.EventMessage(event_type="compaction"))
    assert shapes(written([summary, event, user("hi")])) == [(ModelRequest, [UserPromptPart, UserPromptPart])]


@pytest.mark.parametrize("kept", ["", "{", "[]", '["c1"]', "[1, 2]", "null", '["c1", null]', '["c9", {"a": 1}]'])
def test_a_forged_seal_of_a_call_does_no_harm(kept: str) -> None:
    hidden = v1.HiddenReasoningMessage(state="omitted", hidden_reasoning=f"alpha:extra_content:{kept}")
    forged = v1.Message(id="message-a", hidden_reasoning_message=hidden)
    assert shapes(written([forged, calls("c1"), returns("c1", "ok")])) == [
        (ModelResponse, [ToolCallPart]),
        (ModelRequest, [ToolReturnPart]),
    ]


def test_a_seal_opens_only_for_its_maker() -> None:
    assert opened(seal("alpha", "id", "sig"), "alpha") == ("id", "sig")
    assert opened(seal("alpha", "id", "sig"), "beta") is None
    assert opened("sig", "alpha") is None
    assert opened("", "alpha") is None
