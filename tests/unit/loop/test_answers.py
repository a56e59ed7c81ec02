"""A model's answer is kept so that the model can be given it again."""

from __future__ import annotations

import re

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic_ai.messages import ModelResponse, ModelResponsePart, TextPart, ThinkingPart

from sendoff import v1
from sendoff_server import ids
from sendoff_server.body import Step, Work
from sendoff_server.loop.answers import Written, calls_in, entries, is_readable, request_entry
from sendoff_server.models.dialect import Dialect
from sendoff_server.models.mapping import history
from sendoff_server.models.port import Answer, Finish, ModelCall
from sendoff_server.models.seals import seal

SIGNED = seal("openai", "rs_1", "opaque")
MESSAGE = ids.derive("message", "one")
TEXT = v1.ContentPart(text=v1.Text(text="Yes."))


def kept(*parts: v1.ContentPart) -> list[v1.Message]:
    work = Work(tenant="t", lane="l", seq=1, run=v1.Run(id="run-1"), request=v1.CreateMessageAsyncRequest(), input=[])
    answer = Answer(parts=parts, usage=v1.Usage(), finish=Finish.STOP)
    written = Written(work=work, step=Step(id="step-1", index=0), message_id=MESSAGE, now=Timestamp())
    return entries(written, answer)


def given_again(messages: list[v1.Message], system: str) -> list[ModelResponsePart]:
    """The parts of the answer as a provider of that name gets them."""
    call = ModelCall(handle="x/y", system="", messages=messages, run_id="run-2", attempt=0)
    written = history(call, Dialect(system=system, signs_reasoning=True))
    response = next(message for message in written if isinstance(message, ModelResponse))
    assert isinstance(response, ModelResponse)
    return list(response.parts)


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (v1.ContentPart(omitted_reasoning=v1.OmittedReasoning(signature=SIGNED)), ""),
        (v1.ContentPart(redacted_reasoning=v1.RedactedReasoning(data=SIGNED)), ""),
        (v1.ContentPart(reasoning=v1.Reasoning(reasoning="Hm.", signature=SIGNED)), "Hm."),
    ],
    ids=["omitted", "redacted", "shown"],
)
def test_signed_reasoning_goes_back_to_who_signed_it_and_to_nobody_else(part: v1.ContentPart, text: str) -> None:
    messages = kept(part, TEXT)

    thought = ThinkingPart(text, id="rs_1", signature="opaque", provider_name="openai")
    assert given_again(messages, "openai") == [thought, TextPart("Yes.")]
    assert given_again(messages, "anthropic") == [TextPart("Yes.")]


def test_omitted_reasoning_without_a_signature_is_told_and_holds_nothing() -> None:
    hidden = kept(v1.ContentPart(omitted_reasoning=v1.OmittedReasoning()), TEXT)[0].hidden_reasoning_message

    assert hidden.state == "omitted"
    assert not hidden.HasField("hidden_reasoning")


def asked(*ids_and_names: tuple[str, str]) -> Answer:
    """An answer of text and calls."""
    parts = [
        v1.ContentPart(tool_call=v1.ToolCallPart(id=call_id, name=name, input=v1.JsonObject(json="{}")))
        for call_id, name in ids_and_names
    ]
    return Answer(parts=[TEXT, *parts], usage=v1.Usage(), finish=Finish.TOOL_CALLS)


LONG_ID = "toolu_01A09q90qw90lq917835lq9"


def test_ids_that_come_again_are_replaced_and_others_kept() -> None:
    answer = asked((LONG_ID, "a"), ("call_0", "b"), ("call_0", "c"), ("functions.d:3", "d"), (LONG_ID, "e"))
    made = [call.tool_call_id for call in calls_in(answer, MESSAGE, (), parallel=True)]
    assert made[0] == LONG_ID
    assert len(set(made)) == 5
    assert all(re.fullmatch(r"call_[0-9a-f]{24}", call_id) for call_id in made[1:])
    assert made == [call.tool_call_id for call in calls_in(answer, MESSAGE, (), parallel=True)], "always the same"
    (taken,) = calls_in(asked((LONG_ID, "a")), MESSAGE, {LONG_ID}, parallel=True)
    assert taken.tool_call_id != LONG_ID


def test_without_parallel_calls_only_the_first_one_counts() -> None:
    assert [call.name for call in calls_in(asked(("", "a"), ("", "b")), MESSAGE, (), parallel=False)] == ["a"]


@pytest.mark.parametrize(("name", "readable"), [("look", True), ("", False), ("look around", False), ("x" * 65, False)])
def test_a_name_must_be_one_that_can_be_shown_again(name: str, readable: bool) -> None:
    calls = calls_in(asked((LONG_ID, name)), MESSAGE, (), parallel=True)
    assert is_readable(calls, ()) == readable
    assert is_readable(calls, [name]), "a tool that was offered has a name that was taken"


def test_calls_that_wait_are_shown_to_the_model_in_one_answer_with_the_others() -> None:
    work = Work(tenant="t", lane="l", seq=1, run=v1.Run(id="run-1"), request=v1.CreateMessageAsyncRequest(), input=[])
    written = Written(work=work, step=Step(id="step-1", index=0), message_id=MESSAGE, now=Timestamp())
    answer = asked((LONG_ID, "look"), (LONG_ID[::-1], "book"))
    look, book = calls_in(answer, MESSAGE, (), parallel=True)
    shown = [*entries(written, answer, [look]), request_entry(written, answer, [book], alone=False)]
    assert shown[1].id != shown[2].id
    assert [part.part_kind for part in given_again(shown, "openai")] == ["text", "tool-call", "tool-call"]
    positions = [message.position for message in shown]
    assert positions == sorted(set(positions))
