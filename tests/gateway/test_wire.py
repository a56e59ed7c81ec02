"""The official client behind a connection that breaks: one run for each message that was meant, and its own answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import letta_client._base_client as sdk_transport
import pytest

from sendoff_server import app
from tests.faults.gated import hold_calls
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve
from tests.gateway.door import script
from tests.gateway.proxy import LATE_ANSWER, LOST_ANSWER, SOUND, Fault, between
from tests.gateway.sdk import KINDS, PATIENCE_S, Kind, connected, ended, url

_FAULTS = (
    LOST_ANSWER,
    LATE_ANSWER,
    Fault(answer_bytes=0, resets=True),
    Fault(answer_bytes=30),
    Fault(request_bytes=0),
    Fault(request_bytes=100),
    Fault(request_bytes=100, resets=True),
    SOUND,
)
_STRICT = [kind for kind in KINDS if kind.strict]


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client repeats as it does, only sooner."""
    monkeypatch.setattr(sdk_transport, "INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr(sdk_transport, "MAX_RETRY_DELAY", 0.05)


@pytest.fixture
async def running(serve: Serve) -> AsyncIterator[app.Server]:
    async with serve(http_address="127.0.0.1:0") as server:
        yield server


def _address(server: app.Server) -> str:
    assert server.http is not None
    return server.http.address


async def _texts(server: app.Server, agent_id: str) -> list[str]:
    """What the runs of an agent have answered, oldest first, once all have ended."""
    async with connected(url(server), Kind(blocking=False, strict=True)) as sdk:
        runs = await sdk.all("runs.list", agent_id=agent_id, order="asc")
        for run in runs:
            await ended(server, run.id)
        listed = [await sdk.all("runs.messages.list", run.id) for run in runs]
    return [getattr(messages[-1], "content", messages[-1].message_type) for messages in listed]


# ---- sending ----


@pytest.mark.parametrize("kind", _STRICT, ids=str)
@pytest.mark.parametrize("named", ["", "otid", "key"])
async def test_each_message_is_one_run_whatever_breaks(running: app.Server, kind: Kind, named: str) -> None:
    chance = random.Random(named)
    async with connected(url(running), kind) as sdk:
        agent_id = await sdk.agent()
    meant = [f"message {number}" for number in range(5)]
    told: list[str] = []
    for text in meant:
        plan = [chance.choice(_FAULTS) for _ in range(chance.randrange(1, 3))]
        async with (
            between(_address(running), plan) as proxy,
            connected(f"http://{proxy.address}", kind, timeout=0.5, max_retries=8) as sdk,
        ):
            run = await sdk("agents.messages.create_async", agent_id, **_message(text, named))
        told.append(run.id)
    assert len(set(told)) == len(meant)
    assert await _texts(running, agent_id) == meant


def _message(text: str, named: str) -> dict[str, Any]:
    message = {"role": "user", "content": script(text=text), **({"otid": text} if named == "otid" else {})}
    return {"messages": [message], **({"extra_headers": {"Idempotency-Key": text}} if named == "key" else {})}


@pytest.mark.parametrize("kind", _STRICT, ids=str)
@pytest.mark.parametrize(
    "fault", [LOST_ANSWER, LATE_ANSWER, Fault(answer_bytes=200), Fault(request_bytes=100)], ids=str
)
async def test_a_blocking_call_whose_answer_is_lost_gets_the_answer_of_the_same_run(
    running: app.Server, kind: Kind, fault: Fault
) -> None:
    async with connected(url(running), kind) as sdk:
        agent_id = await sdk.agent()
    for text in ("one", "two"):
        async with (
            between(_address(running), [fault]) as proxy,
            connected(f"http://{proxy.address}", kind, timeout=0.5, max_retries=8) as sdk,
        ):
            answer = await sdk("agents.messages.create", agent_id, input=script(text=text))
            assert (answer.messages[-1].content, proxy.left) == (text, 0)
    assert await _texts(running, agent_id) == ["one", "two"]


@pytest.mark.parametrize("kind", _STRICT, ids=str)
async def test_a_blocking_call_that_outlasts_the_clients_patience_goes_on_with_the_same_run(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    gate = hold_calls(monkeypatch, HeldCalls())
    async with serve(http_address="127.0.0.1:0") as server:
        async with connected(url(server), kind) as sdk:
            agent_id = await sdk.agent()
        async with (
            between(_address(server), []) as proxy,
            connected(f"http://{proxy.address}", kind, timeout=0.5, max_retries=20) as sdk,
        ):
            call = asyncio.create_task(sdk("agents.messages.create", agent_id, input=script(text="late")))
            async with asyncio.timeout(PATIENCE_S):
                for _ in range(3):
                    await proxy.begun.get()
            gate.release()
            assert (await call).messages[-1].content == "late"
        assert await _texts(server, agent_id) == ["late"]


@pytest.mark.parametrize("kind", _STRICT, ids=str)
@pytest.mark.parametrize("call", ["agents", "conversations"])
@pytest.mark.parametrize("background", [False, True])
async def test_a_stream_whose_beginning_is_lost_is_the_stream_of_the_same_run(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, kind: Kind, call: str, background: bool
) -> None:
    """Also while the run is at work, when a conversation takes no other."""
    gate = hold_calls(monkeypatch, HeldCalls())
    async with serve(http_address="127.0.0.1:0") as server:
        async with connected(url(server), kind) as sdk:
            agent_id = await sdk.agent()
            place = agent_id
            if call == "conversations":
                place = (await sdk("conversations.create", agent_id=agent_id)).id
        async with (
            between(_address(server), [LOST_ANSWER]) as proxy,
            connected(f"http://{proxy.address}", kind, timeout=PATIENCE_S) as sdk,
        ):
            told = asyncio.create_task(
                sdk.events(
                    f"{call}.messages.create", place, input=script(text="Hi"), streaming=True, background=background
                )
            )
            async with asyncio.timeout(PATIENCE_S):
                for _ in range(2):
                    await proxy.begun.get()
            gate.release(2)
            events = await told
        assert [event.message_type for event in events][1:] == ["assistant_message", "stop_reason", "usage_statistics"]
        async with connected(url(server), kind) as sdk:
            assert len(await sdk.all("runs.list", agent_id=agent_id)) == 1


# ---- answers to what is pending ----


@pytest.mark.parametrize("kind", _STRICT, ids=str)
@pytest.mark.parametrize("call", ["create", "create_async"])
async def test_a_turn_with_a_client_tool_is_two_runs_however_often_its_answers_are_lost(
    running: app.Server, kind: Kind, call: str
) -> None:
    ask = script(steps=[{"tool_calls": [{"name": "ask"}]}, {"text": "thanks"}])
    tools = [{"name": "ask"}]
    async with connected(url(running), kind) as sdk:
        agent_id = await sdk.agent()
    plan = [LOST_ANSWER, LOST_ANSWER, SOUND, LOST_ANSWER, LOST_ANSWER]
    async with between(_address(running), plan) as proxy:
        async with connected(f"http://{proxy.address}", kind, timeout=PATIENCE_S) as sdk:
            await sdk(f"agents.messages.{call}", agent_id, input=ask, client_tools=tools)
        async with connected(url(running), kind) as sdk:
            (run,) = await sdk.all("runs.list", agent_id=agent_id)
            await ended(running, run.id)
            asked = (await sdk.all("runs.messages.list", run.id))[-1]
        item = {"type": "tool", "tool_call_id": asked.tool_call.tool_call_id, "status": "success", "tool_return": "yes"}
        said = [{"type": "tool_return", "tool_returns": [item]}]
        async with connected(f"http://{proxy.address}", kind, timeout=PATIENCE_S) as sdk:
            await sdk(f"agents.messages.{call}", agent_id, messages=said, client_tools=tools)
        assert proxy.left == 0
    assert await _texts(running, agent_id) == ["approval_request_message", "thanks"]


# ---- cancelling ----


@pytest.mark.parametrize("kind", _STRICT, ids=str)
async def test_a_cancel_by_id_whose_answer_is_lost_is_told_the_same_again(running: app.Server, kind: Kind) -> None:
    async with connected(url(running), kind) as sdk:
        agent_id = await sdk.agent()
        run = await sdk("agents.messages.create_async", agent_id, input=script(text="x", hang=True))
    async with (
        between(_address(running), [LOST_ANSWER]) as proxy,
        connected(f"http://{proxy.address}", kind, timeout=PATIENCE_S) as sdk,
    ):
        assert await sdk("agents.messages.cancel", agent_id, run_ids=[run.id]) == {run.id: "cancelled"}
    assert (await ended(running, run.id)).cancel_reason == ""
