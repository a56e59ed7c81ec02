"""Conversations as the store keeps them, one for each thing that a model must be shown rightly."""

from __future__ import annotations

from dataclasses import replace

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server.models.port import ModelCall, ToolSpec
from sendoff_server.models.seals import seal

SUCCESS, ERROR = v1.TOOL_RETURN_STATUS_SUCCESS, v1.TOOL_RETURN_STATUS_ERROR
PNG = b"\x89PNG"
WEATHER = ToolSpec(
    "weather",
    "The weather of a city.",
    '{"type":"object","title":"Weather","properties":{"city":{"type":"string","default":"Ulm"}},"required":["city"]}',
)
CLOCK = ToolSpec("clock", "", '{"type":"object","properties":{}}')


def text(told: str) -> v1.ContentPart:
    return v1.ContentPart(text=v1.Text(text=told))


def picture(told: v1.Image) -> v1.ContentPart:
    return v1.ContentPart(image=told)


def of_parts(*parts: v1.ContentPart) -> v1.Content:
    return v1.Content(parts=v1.Content.Parts(parts=parts))


def user(*parts: v1.ContentPart | str) -> v1.Message:
    content = (
        v1.Content(text=parts[0])
        if isinstance(parts[0], str)
        else of_parts(*[p for p in parts if not isinstance(p, str)])
    )
    return v1.Message(id="message-u", user_message=v1.UserMessage(content=content))


def system(told: str) -> v1.Message:
    return v1.Message(id="message-s", system_message=v1.SystemMessage(content=told))


def says(answer_id: str, told: str) -> v1.Message:
    return v1.Message(id=answer_id, assistant_message=v1.AssistantMessage(content=v1.Content(text=told)))


def imported(*parts: v1.ContentPart) -> v1.Message:
    return v1.Message(id="message-i", assistant_message=v1.AssistantMessage(content=of_parts(*parts)))


def thinks(answer_id: str, told: str, signature: str) -> v1.Message:
    said = v1.ReasoningMessage(reasoning=told, source="reasoner_model", signature=signature)
    return v1.Message(id=answer_id, reasoning_message=said)


def hides(answer_id: str, state: str, kept: str) -> v1.Message:
    hidden = v1.HiddenReasoningMessage(state=state, hidden_reasoning=kept)
    return v1.Message(id=answer_id, hidden_reasoning_message=hidden)


def _call(call_id: str, name: str, arguments: str) -> v1.ToolCall:
    return v1.ToolCall(tool_call_id=call_id, name=name, arguments=arguments)


def calls(answer_id: str, *made: tuple[str, str, str]) -> v1.Message:
    told = v1.ToolCallMessage(tool_calls=[_call(*call) for call in made])
    return v1.Message(id=answer_id, tool_call_message=told)


def asks(answer_id: str, *made: tuple[str, str, str]) -> v1.Message:
    told = v1.ApprovalRequestMessage(tool_calls=[_call(*call) for call in made])
    return v1.Message(id=answer_id, approval_request_message=told)


def decides(*decisions: v1.Approval | v1.ToolReturn) -> v1.Message:
    told = [
        v1.ActionDecision(approval=decision) if isinstance(decision, v1.Approval) else v1.ActionDecision(tool=decision)
        for decision in decisions
    ]
    return v1.Message(id="message-d", approval_response_message=v1.ApprovalResponseMessage(approvals=told))


def result(call_id: str, told: str | v1.Content, status: v1.ToolReturnStatus.ValueType = SUCCESS) -> v1.ToolReturn:
    content = v1.Content(text=told) if isinstance(told, str) else told
    return v1.ToolReturn(tool_call_id=call_id, status=status, tool_return=content)


def returns(*results: v1.ToolReturn) -> v1.Message:
    return v1.Message(
        id="message-r",
        create_time=Timestamp(seconds=1_772_619_301),  # 2026-03-04 10:15:01 UTC
        tool_return_message=v1.ToolReturnMessage(tool_returns=results),
    )


def summary(told: str) -> v1.Message:
    return v1.Message(id="message-m", context_start=7, summary_message=v1.SummaryMessage(summary=told))


def event() -> v1.Message:
    return v1.Message(id="message-e", event_message=v1.EventMessage(event_type="compaction"))


def question(*messages: v1.Message) -> ModelCall:
    return ModelCall(handle="", system="", messages=messages, run_id="run-1", attempt=0)


def _images() -> ModelCall:
    base64 = v1.Image.Base64(data=PNG, media_type="image/png", detail="low")
    stored = v1.Image.Stored(file_id="file-1", data=PNG, media_type="image/webp")
    return question(
        user(
            text("Compare these."),
            picture(v1.Image(url=v1.Image.Url(url="https://example.com/a.png"))),
            picture(v1.Image(url=v1.Image.Url(url="data:image/jpeg;base64,iVBORw=="))),
            picture(v1.Image(base64=base64)),
            picture(v1.Image(letta=stored)),
        )
    )


def _imported_calls() -> ModelCall:
    made = v1.ToolCallPart(id="toolu/1", name="look up", input=v1.JsonObject(json='{"city": "Ulm", "n": 1.0}'))
    bare = v1.ToolCallPart(id="2", name="clock")
    return question(
        user("Weather?"),
        imported(
            text("Let me look."),
            v1.ContentPart(tool_call=made),
            v1.ContentPart(tool_call=bare),
            v1.ContentPart(tool_return=v1.ToolReturnPart(tool_call_id="toolu/1", content="no rain")),
            v1.ContentPart(tool_return=v1.ToolReturnPart(tool_call_id="2", content="broken", is_error=True)),
            text("It is dry."),
        ),
        user("Thanks."),
    )


def _imported_reasoning() -> ModelCall:
    """Reasoning that other systems signed, or nobody."""
    steps = [v1.SummarizedReasoning.Part(index=0, text="First."), v1.SummarizedReasoning.Part(index=1, text="Then.")]
    return question(
        user("Why?"),
        imported(
            v1.ContentPart(reasoning=v1.Reasoning(reasoning="hm", is_native=True, signature="c2lnbmVk")),
            v1.ContentPart(redacted_reasoning=v1.RedactedReasoning(data="b3BhcXVl")),
            v1.ContentPart(omitted_reasoning=v1.OmittedReasoning(signature="c2lnbmVk")),
            v1.ContentPart(
                summarized_reasoning=v1.SummarizedReasoning(id="rs_9", summary=steps, encrypted_content="ZW5j")
            ),
            text("Because."),
        ),
        user("I see."),
    )


def _own_reasoning() -> ModelCall:
    """Answers of three systems, each of which gets its own reasoning back, in front of the calls that it led to."""
    return question(
        user("Weather?"),
        thinks("message-1", "It may rain.", seal("anthropic", "", "QW50aHJvcGlj")),
        hides("message-1", "redacted", seal("anthropic", "redacted_thinking", "UmVkYWN0ZWQ=")),
        calls("message-1", ("call_1", "weather", '{"city":"Ulm"}')),
        returns(result("call_1", "rain")),
        hides("message-2", "omitted", seal("anthropic", "", "T21pdHRlZA==")),
        says("message-2", "It rains."),
        user("And in Rome?"),
        thinks("message-3", "Rome is dry.", seal("openai", "rs_1", "T3BlbkFJ")),
        calls("message-3", ("call_2", "weather", '{"city":"Rome"}')),
        returns(result("call_2", "sun")),
        hides("message-4", "omitted", seal("openai", "rs_2", "SGlkZGVu")),
        says("message-4", "It is sunny."),
        user("And in Bonn?"),
        thinks("message-5", "Who knows.", seal("openai-compatible", "", "")),
        says("message-5", "No idea."),
        user("Thanks."),
    )


def _tool_loop() -> ModelCall:
    """Calls side by side, one that failed, one that was denied, one that ran at the caller, and what came between."""
    at_the_caller = result("call_4", "12:00")
    at_the_caller.stdout.lines.append("asked the clock")
    at_the_caller.stderr.lines.append("slow")
    denied = "Error: request to call tool denied. User reason: too dear"
    asked = question(
        summary("They talked about the weather."),
        event(),
        user("Weather and time?"),
        says("message-1", "Let me look."),
        calls("message-1", ("call_1", "weather", '{"city":"Ulm"}'), ("call_2", "weather", '{"city": ')),
        returns(result("call_1", "rain"), result("call_2", "the arguments are no JSON", ERROR)),
        calls("message-2", ("call_3", "weather", '{"city":"Rome"}')),
        asks("message-2", ("call_4", "clock", "{}"), ("call_5", "weather", '{"city":"Oslo"}')),
        decides(
            v1.Approval(tool_call_id="call_5", approve=False, reason="too dear"),
            result("call_4", "12:00"),
        ),
        returns(result("call_5", denied, ERROR), at_the_caller, result("call_3", "sun")),
        user("Hurry up."),
    )
    return replace(asked, system="You are a weather frog.", tools=[WEATHER, CLOCK])


def _returned_image() -> ModelCall:
    shown = of_parts(text("Here:"), picture(v1.Image(base64=v1.Image.Base64(data=PNG, media_type="image/png"))))
    asked = question(
        user("Map?"),
        calls("message-1", ("call_1", "map", "{}"), ("call_2", "clock", "{}")),
        returns(result("call_1", shown), result("call_2", "")),
    )
    return replace(asked, tools=[CLOCK])


CONVERSATIONS = {
    "text": replace(question(user("Hi."), says("message-1", "Hello."), user("Bye.")), system="Be brief."),
    "text parts": question(user(text("One.")), says("message-1", "Yes?"), user(text("Two."), text("Three."))),
    "images": _images(),
    "system messages": replace(
        question(system("Speak French."), user("Hi."), says("message-1", "Salut."), system("Now German."), user("Hi.")),
        system="Be brief.",
    ),
    "imported text": question(user("Hi."), imported(text("Hello."), text("Well?")), user("Well.")),
    "imported calls": _imported_calls(),
    "imported reasoning": _imported_reasoning(),
    "own reasoning": replace(_own_reasoning(), tools=[WEATHER]),
    "tool loop": _tool_loop(),
    "returned image": _returned_image(),
    "forced call": replace(question(user("Weather?")), tools=[WEATHER], must_call=True, parallel_calls=False),
    "calls without tools": question(
        user("Weather?"),
        calls("message-1", ("call_1", "weather", '{"city":"Ulm"}')),
        returns(result("call_1", "rain")),
        says("message-2", "Rain."),
        user("Thanks."),
    ),
    "call without return": replace(
        question(user("Weather?"), calls("message-1", ("call_1", "weather", "")), user("Well?")), tools=[WEATHER]
    ),
}
"""By name: the call that shows the conversation. The handle is missing."""
