"""The embedded model, for real: its weights are fetched once per checkout."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from sendoff import v1
from sendoff_server.models import embedded
from sendoff_server.models.embedded import HANDLE, NAME, EmbeddedProvider
from sendoff_server.models.port import DeltaKind, Finish, ModelCall, ModelFailed
from sendoff_server.models.weights import ensure_weights
from tests.fixtures.weights import SHARED_DATA_DIR
from tests.unit.models.asking import ask, call, text_of, until
from tests.unit.models.conversations import CLOCK, CONVERSATIONS, WEATHER

LONG = "Write a very long story about a harbour and its seven lanterns."


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[EmbeddedProvider]:
    await ensure_weights(SHARED_DATA_DIR)
    running = EmbeddedProvider(SHARED_DATA_DIR, silence_s=60)
    yield running
    await running.aclose()


def local(text: str) -> ModelCall:
    return call(text, handle=HANDLE)


async def processing(provider: EmbeddedProvider) -> int:
    """How many of the child's slots are at work."""
    connection = await provider.connection()
    headers = {"authorization": f"Bearer {connection.secrets.values[0]}"}
    answer = await connection.http.get("http://local/slots", headers=headers)
    return sum(slot["is_processing"] for slot in answer.json())


async def test_an_answer_streams_with_usage(provider: EmbeddedProvider) -> None:
    deltas, answer = await ask(provider.model(NAME), local("What is the capital of France?"))
    assert len(deltas) > 1
    assert {delta.kind for delta in deltas} == {DeltaKind.TEXT}
    assert text_of(answer).strip()
    assert answer.finish is Finish.STOP
    assert answer.usage.prompt_tokens > 5
    assert answer.usage.completion_tokens >= len(deltas) - 1
    assert not answer.usage.HasField("cost_microusd")


async def test_a_cancelled_call_frees_its_slot(provider: EmbeddedProvider) -> None:
    stream = await _under_way(provider)
    asking = asyncio.create_task(_drained(stream))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    async with asyncio.timeout(60):  # the child is niced: on a busy machine its next look at the connection is far
        while await processing(provider):
            pass


async def _under_way(provider: EmbeddedProvider) -> AsyncGenerator[object]:
    """A call that the child works on. What it says is its own choice, and now and then it is done before we look."""
    for _ in range(10):
        stream = provider.model(NAME).stream(local(LONG))
        await anext(stream)
        if await processing(provider) == 1:
            return stream
        await stream.aclose()
    raise AssertionError("no call was still under way when its slot was looked at")


async def _drained(stream: AsyncIterator[object]) -> None:
    async for _ in stream:
        pass


async def test_a_killed_child_fails_its_call_and_is_started_again(provider: EmbeddedProvider) -> None:
    stream = await _under_way(provider)
    first = provider.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    with pytest.raises(ModelFailed) as caught:
        await _drained(stream)
    assert (caught.value.reason, caught.value.retryable) == ("MODEL_UNAVAILABLE", True)
    _, answer = await ask(provider.model(NAME), local("What is the capital of France?"))
    assert text_of(answer).strip()
    assert provider.pid != first


async def test_an_input_over_the_context_is_an_overflow(provider: EmbeddedProvider) -> None:
    with pytest.raises(ModelFailed) as caught:
        await ask(provider.model(NAME), local("word " * 5_000))
    assert (caught.value.reason, caught.value.retryable) == ("CONTEXT_OVERFLOW", False)


async def test_an_image_is_rejected(provider: EmbeddedProvider) -> None:
    image = v1.Image(base64=v1.Image.Base64(data=b"png", media_type="image/png"))
    content = v1.Content(parts=v1.Content.Parts(parts=[v1.ContentPart(image=image)]))
    shown = v1.Message(id="message-1", user_message=v1.UserMessage(content=content))
    with pytest.raises(ModelFailed, match="cannot look at images"):
        await ask(provider.model(NAME), call(handle=HANDLE, messages=[shown]))


async def test_nobody_else_can_enter_the_childs_directory_or_use_it_without_its_key(provider: EmbeddedProvider) -> None:
    connection = await provider.connection()
    assert provider.folder is not None
    assert stat.S_IMODE(provider.folder.stat().st_mode) == 0o700
    assert (await connection.http.get("http://local/slots")).status_code == 401


async def test_many_first_calls_start_one_child_and_closing_ends_it() -> None:
    await ensure_weights(SHARED_DATA_DIR)
    running = EmbeddedProvider(SHARED_DATA_DIR, silence_s=60)
    connections = await asyncio.gather(*(running.connection() for _ in range(5)))
    assert len(set(map(id, connections))) == 1
    assert running.pid is not None
    child, folder = psutil.Process(running.pid), running.folder
    await running.aclose()
    assert not child.is_running()
    assert folder is not None
    assert not folder.exists()


async def test_a_start_that_is_closed_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    running = EmbeddedProvider(SHARED_DATA_DIR, silence_s=60)
    asking = asyncio.create_task(running.connection())
    before = set(psutil.Process().children())
    await until(lambda: set(psutil.Process().children()) > before)
    born = set(psutil.Process().children()) - before
    await running.aclose()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not any(child.is_running() for child in born)
    assert os.listdir(tmp_path) == []


async def test_the_child_ends_and_cleans_up_when_its_parent_is_killed(tmp_path: Path) -> None:
    weights, folder = await ensure_weights(SHARED_DATA_DIR), tmp_path / "private"
    folder.mkdir()
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, str(weights), str(folder)), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    child = psutil.Process(int(await asyncio.wait_for(parent.stdout.readline(), 60)))
    parent.kill()
    await parent.wait()
    gone, _ = await asyncio.to_thread(psutil.wait_procs, [child], 10)
    assert gone
    assert not folder.exists()


PARENT = """
import asyncio, pathlib, sys
from sendoff_server.models import embedded

async def main():
    weights, folder = map(pathlib.Path, sys.argv[1:])
    process = await embedded._spawned(weights, str(folder / "model.sock"), "key", folder / "errors.log")
    await embedded._ready(process, folder / "errors.log")
    print(process.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_weights_that_are_no_weights_are_a_clear_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"no weights")

    async def given(*_: object) -> Path:
        return broken

    monkeypatch.setattr(embedded, "ensure_weights", given)
    running = EmbeddedProvider(tmp_path, silence_s=60)
    with pytest.raises(ModelFailed, match="did not start"):
        await running.connection()
    await running.aclose()


async def test_a_forced_call_has_arguments_that_fit_the_tools_schema(provider: EmbeddedProvider) -> None:
    question = replace(local("What is the weather in Paris?"), tools=[WEATHER, CLOCK], must_call=True)
    _, answer = await ask(provider.model(NAME), replace(question, tools=[WEATHER]))
    (part,) = answer.parts
    assert (part.tool_call.name, answer.finish) == ("weather", Finish.TOOL_CALLS)
    assert set(json.loads(part.tool_call.input.json)) == {"city"}
    _, either = await ask(provider.model(NAME), question)
    assert either.parts[0].tool_call.name in {"weather", "clock"}


async def test_tools_that_may_be_called_are_answered_in_words(provider: EmbeddedProvider) -> None:
    _, answer = await ask(provider.model(NAME), replace(local("What is the weather in Paris?"), tools=[WEATHER]))
    assert text_of(answer).strip()
    assert answer.finish is Finish.STOP


async def test_calls_in_history_do_not_make_it_repeat_them(provider: EmbeddedProvider) -> None:
    asked = replace(CONVERSATIONS["calls without tools"], handle=HANDLE)
    _, answer = await ask(provider.model(NAME), asked)
    assert text_of(answer).strip()
    assert "tool_call" not in text_of(answer)


async def test_token_ids_and_log_probabilities_are_those_of_its_text(provider: EmbeddedProvider) -> None:
    question = replace(local("What is the capital of France?"), token_ids=True, top_logprobs=3)
    _, answer = await ask(provider.model(NAME), question)
    (turn,) = answer.tokens
    assert turn.content == text_of(answer)
    assert len(turn.output_ids) == len(turn.output_token_logprobs) == len(turn.logprobs) > 3
    assert all(len(told.top_logprobs) == 3 for told in turn.logprobs)
    assert await detokenized(provider, turn.output_ids) == turn.content


@pytest.mark.parametrize("asked", [{"token_ids": True}, {"top_logprobs": 0}], ids=str)
async def test_token_ids_and_log_probabilities_come_alone_and_without_alternatives(
    provider: EmbeddedProvider, asked: dict[str, Any]
) -> None:
    _, answer = await ask(provider.model(NAME), replace(local("What is the capital of France?"), **asked))
    (turn,) = answer.tokens
    assert bool(turn.output_ids) == bool(turn.output_token_logprobs) == ("token_ids" in asked)
    assert bool(turn.logprobs) == ("top_logprobs" in asked)
    assert not any(told.top_logprobs for told in turn.logprobs)


async def detokenized(provider: EmbeddedProvider, ids: Sequence[int]) -> str:
    connection = await provider.connection()
    headers = {"authorization": f"Bearer {connection.secrets.values[0]}"}
    answer = await connection.http.post("http://local/detokenize", headers=headers, json={"tokens": list(ids)})
    return str(answer.json()["content"])


async def test_an_answer_has_the_form_that_it_is_set_to(provider: EmbeddedProvider) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    told = v1.JsonSchemaFormat(json_schema=v1.JsonObject(json=json.dumps({"schema": schema})))
    form = v1.ResponseFormat(json_schema=told)
    asked = replace(local("Which city is the capital of France?"), settings=v1.ModelSettings(response_format=form))
    _, answer = await ask(provider.model(NAME), asked)
    assert set(json.loads(text_of(answer))) == {"city"}


async def test_an_answer_is_some_json_object_where_that_is_wanted(provider: EmbeddedProvider) -> None:
    form = v1.ResponseFormat(json_object=v1.JsonObjectFormat())
    asked = replace(local("Tell me of France, as JSON."), settings=v1.ModelSettings(response_format=form))
    _, answer = await ask(provider.model(NAME), asked)
    assert isinstance(json.loads(text_of(answer)), dict)


async def test_an_answer_has_no_more_tokens_than_it_may(provider: EmbeddedProvider) -> None:
    asked = replace(local(LONG), settings=v1.ModelSettings(max_output_tokens=5, seed=1, temperature=0.9))
    _, answer = await ask(provider.model(NAME), asked)
    assert answer.finish is Finish.LENGTH
    assert answer.usage.completion_tokens == 5
