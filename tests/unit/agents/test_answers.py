"""A model's answer is kept so that the model can be given it again."""

from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic_ai.messages import ModelResponse, TextPart, ThinkingPart

from sendoff import v1
from sendoff_server import ids
from sendoff_server.agents.answers import Written, entries
from sendoff_server.body import Step, Work
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


def given_again(messages: list[v1.Message], system: str) -> list[object]:
    """The parts of the answer as a provider of that name gets them."""
    call = ModelCall(handle="x/y", system="", messages=messages, run_id="run-2", attempt=0)
    (response,) = history(call, Dialect(system=system, signs_reasoning=True))
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
