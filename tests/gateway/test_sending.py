"""Sending over REST: one run per intended message, whatever happens to the connection; refusals in known words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sendoff_server import app
from tests.fixtures.server import Serve
from tests.gateway.door import Door, knocking, script


@pytest.fixture
async def running(serve: Serve) -> AsyncIterator[app.Server]:
    async with serve(http_address="127.0.0.1:0") as server:
        yield server


@pytest.fixture
async def door(running: app.Server) -> AsyncIterator[Door]:
    async with knocking(running) as opened:
        yield opened


async def _runs(door: Door, agent_id: str) -> list[Any]:
    return list(await door.get("/v1/runs/", agent_id=agent_id))


_CLIENT_TOOL = {"client_tools": [{"name": "ask"}]}
_ASK = script(steps=[{"tool_calls": [{"name": "ask", "id": "call_1"}]}, {"text": "thanks"}])


async def _pending(door: Door) -> str:
    agent_id = await door.agent()
    answer = await door.post(f"/v1/agents/{agent_id}/messages", {"input": _ASK, **_CLIENT_TOOL})
    assert answer["stop_reason"]["stop_reason"] == "requires_approval"
    return agent_id


async def _call_id(door: Door, agent_id: str) -> str:
    """Of the only call that waits."""
    (action,) = (await door.get("/v1/actions", agent_id=agent_id))["actions"]
    return str(action["tool_call_id"])


# ---- repeats ----


@pytest.mark.parametrize("path", ["messages/async", "messages", "messages/stream"])
async def test_what_the_sdk_repeats_by_itself_is_the_same_run(door: Door, path: str) -> None:
    agent_id = await door.agent()
    for count in (0, 1, 2):
        headers = {"x-stainless-retry-count": str(count), "x-stainless-read-timeout": "60"}
        body = {"input": script(text="Hi")}
        response = await door.http.post(f"/v1/agents/{agent_id}/{path}", json=body, headers=headers)
        assert response.status_code == 200
        if path != "messages":
            assert (response.headers.get("idempotency-replayed") == "true") == (count > 0)
    assert len(await _runs(door, agent_id)) == 1


async def test_a_repeat_is_known_after_a_restart(serve: Serve) -> None:
    body = {"input": script(text="Hi")}
    async with serve(http_address="127.0.0.1:0") as server, knocking(server) as door:
        agent_id = await door.agent()
        first = await door.post(f"/v1/agents/{agent_id}/messages/async", body)
    async with serve(http_address="127.0.0.1:0") as server, knocking(server) as door:
        path = f"/v1/agents/{agent_id}/messages/async"
        again = await door.post(path, body, **{"x-stainless-retry-count": "1"})
        assert again["id"] == first["id"]


async def test_a_first_attempt_and_another_body_are_runs_of_their_own(door: Door) -> None:
    agent_id = await door.agent()
    path = f"/v1/agents/{agent_id}/messages/async"
    await door.post(path, {"input": script(text="Hi")})
    await door.post(path, {"input": script(text="Hi")}, **{"x-stainless-retry-count": "0"})
    await door.post(path, {"input": script(text="Ho")}, **{"x-stainless-retry-count": "1"})
    assert len(await _runs(door, agent_id)) == 3


async def test_otids_and_keys_name_a_request(door: Door) -> None:
    agent_id = await door.agent()
    path = f"/v1/agents/{agent_id}/messages/async"
    body = {"messages": [{"role": "user", "content": script(text="Hi"), "otid": "o-1"}]}
    first, again = await door.post(path, body), await door.post(path, body)
    assert first["id"] == again["id"]
    body["messages"][0]["content"] = "other"
    refused = await door.http.post(path, json=body)
    assert (refused.status_code, refused.headers["x-should-retry"]) == (409, "false")
    keyed = [await door.post(path, {"input": "Hi"}, **{"idempotency-key": "k"}) for _ in range(2)]
    assert keyed[0]["id"] == keyed[1]["id"] != first["id"]


@pytest.mark.parametrize("path", ["messages", "messages/stream"])
async def test_a_key_names_the_request_of_a_caller_who_waits_and_otids_do_not(door: Door, path: str) -> None:
    agent_id = await door.agent()
    body = {"messages": [{"role": "user", "content": script(text="Hi"), "otid": "o-1"}]}
    path = f"/v1/agents/{agent_id}/{path}"
    keyed = [await door.http.post(path, json=body, headers={"idempotency-key": "k"}) for _ in range(2)]
    assert "Hi" in keyed[0].text
    assert keyed[0].text == keyed[1].text
    other = await door.http.post(path, json={"input": "other"}, headers={"idempotency-key": "k"})
    assert (other.status_code, other.json()["reason"]) == (409, "IDEMPOTENCY_MISMATCH")
    assert len(await _runs(door, agent_id)) == 1
    await door.http.post(path, json=body)
    assert len(await _runs(door, agent_id)) == 2


# ---- waiting callers ----


async def test_a_caller_who_goes_away_leaves_no_trace_and_the_run_goes_on(door: Door) -> None:
    agent_id = await door.agent()
    before = asyncio.all_tasks()
    body = {"input": script(text="x", hang=True)}
    for path in ("messages", "messages/stream"):
        sending = asyncio.create_task(door.http.post(f"/v1/agents/{agent_id}/{path}", json=body))
        while not (runs := await door.get("/v1/runs/", agent_id=agent_id, active=True)):
            pass
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        async with asyncio.timeout(10):
            while any(
                task.get_name().endswith((" a caller", " caller to go")) for task in asyncio.all_tasks() - before
            ):
                await door.get("/v1/health/")
        assert (await door.get(f"/v1/runs/{runs[0]['id']}"))["completed_at"] is None
        await door.post(f"/v1/runs/{runs[0]['id']}:cancel", {})
        assert (await door.ended(runs[0]["id"]))["status"] == "cancelled"


async def test_failures_of_the_model_are_told_with_their_status(door: Door) -> None:
    agent_id = await door.agent()
    for kind, status, told in (("authentication", 401, "llm_authentication"), ("quota", 402, None)):
        body = {"input": script(text="x", error={"kind": kind})}
        response = await door.http.post(f"/v1/agents/{agent_id}/messages", json=body)
        assert response.status_code == status
        assert set(response.json()["error"]) == {"type", "message", "detail"}
        assert told in (None, response.json()["error"]["type"])


# ---- approvals ----


async def test_a_message_while_an_answer_is_pending_is_refused_to_those_who_wait(door: Door) -> None:
    agent_id = await _pending(door)
    for path in ("messages", "messages/stream"):
        refused = await door.http.post(f"/v1/agents/{agent_id}/{path}", json={"input": "Hi"})
        detail = refused.json()["detail"]
        assert (refused.status_code, detail["code"]) == (409, "PENDING_APPROVAL")
        assert "waiting for approval on a tool call" in detail["message"]
        assert detail["pending_request_id"].startswith("message-")
    run = await door.post(f"/v1/agents/{agent_id}/messages/async", {"input": script(text="Never mind")})
    assert (await door.ended(run["id"]))["stop_reason"] == "end_turn"


async def test_wrong_answers_are_refused_in_known_words(door: Door) -> None:
    agent_id = await _pending(door)
    item = {"type": "tool", "tool_call_id": "call_2", "status": "success", "tool_return": "yes"}
    path = f"/v1/agents/{agent_id}/messages/async"
    wrong = await door.http.post(path, json={"messages": [{"type": "tool_return", "tool_returns": [item]}]})
    assert (wrong.status_code, "Invalid tool call IDs" in wrong.text) == (400, True)
    item["tool_call_id"] = await _call_id(door, agent_id)
    right = {"messages": [{"type": "tool_return", "tool_returns": [item]}], **_CLIENT_TOOL}
    answer = await door.post(f"/v1/agents/{agent_id}/messages", right)
    assert [m["message_type"] for m in answer["messages"]] == ["tool_return_message", "assistant_message"]
    item["tool_return"] = "no"
    other_answer = await door.http.post(path, json=right)
    assert (other_answer.status_code, other_answer.json()["reason"]) == (409, "ACTION_ALREADY_ANSWERED")
    idle = await door.http.post(f"/v1/agents/{await door.agent()}/messages", json=right)
    assert (idle.status_code, "No tool call is currently awaiting approval" in idle.text) == (400, True)


async def test_answers_stand_first_or_nowhere(door: Door) -> None:
    agent_id = await _pending(door)
    approval = {"type": "approval", "approvals": [{"type": "approval", "tool_call_id": "call_1", "approve": False}]}
    said = {"role": "user", "content": "Hi"}
    for messages in ([said, approval], [approval, approval]):
        refused = await door.http.post(f"/v1/agents/{agent_id}/messages/async", json={"messages": messages})
        assert refused.status_code == 422, refused.text


async def test_cancelling_denies_what_is_pending(door: Door) -> None:
    agent_id = await _pending(door)
    assert list((await door.post(f"/v1/agents/{agent_id}/messages/cancel", {})).values()) == ["cancelled"]
    answer = await door.post(f"/v1/agents/{agent_id}/messages", {"input": script(text="Hello")})
    assert answer["messages"][-1]["content"] == "Hello"
    refused = await door.http.post(f"/v1/agents/{agent_id}/messages/cancel", json={})
    assert (refused.status_code, "No active runs to cancel" in refused.text) == (409, True)
    assert refused.headers["x-should-retry"] == "false"


async def test_runs_of_other_agents_are_not_cancelled(door: Door) -> None:
    mine, other = await door.agent(), await door.agent()
    run = await door.post(f"/v1/agents/{other}/messages/async", {"input": script(text="x", hang=True)})
    told = await door.post(f"/v1/agents/{mine}/messages/cancel", {"run_ids": [run["id"], "nonsense"]})
    assert told == {run["id"]: "failed", "nonsense": "failed"}
    await door.post(f"/v1/agents/{other}/messages/cancel", {"run_ids": [run["id"]]})
    assert (await door.ended(run["id"]))["status"] == "cancelled"


# ---- conversations ----


async def test_a_conversation_streams_and_is_busy_meanwhile(door: Door) -> None:
    agent_id = await door.agent()
    conversation = await door.post(f"/v1/conversations/?agent_id={agent_id}", {})
    path = f"/v1/conversations/{conversation['id']}"
    idle = await door.http.post(f"{path}/stream", json={})
    assert (idle.status_code, "No active runs found for this conversation" in idle.text) == (400, True)
    async with door.stream(f"{path}/messages", {"input": script(text="x", hang=True)}) as events:
        run_id = (await anext(events)).data["run_id"]
        busy = await door.http.post(f"{path}/messages", json={"input": "Hi"})
        assert (busy.status_code, busy.json()["run_id"]) == (409, run_id)
        assert "is currently being processed for this conversation" in busy.json()["detail"]
        async with door.stream(f"{path}/stream", {}) as resumed:
            assert (await anext(resumed)).data["run_id"] == run_id
        assert await door.post(f"{path}/cancel", {}) == {run_id: "cancelled"}
        assert [event.data async for event in events][-1] == "[DONE]"
    again = await door.events(f"{path}/stream", {"run_id": run_id})
    assert again[-1].data["stop_reason"] == "cancelled"
    assert (await door.get(f"/v1/runs/{run_id}"))["conversation_id"] == conversation["id"]


async def test_an_otid_attaches_to_the_stream_that_it_began(door: Door) -> None:
    agent_id = await door.agent()
    body = {
        "messages": [{"role": "user", "content": script(text="Hi"), "otid": "o-1"}],
        "agent_id": agent_id,
        "background": True,
    }
    first = await door.events("/v1/conversations/default/messages", body)
    assert await door.events("/v1/conversations/default/messages", body) == first
    assert await door.events(f"/v1/conversations/{agent_id}/stream", {"otid": "o-1"}) == first
    assert (await door.http.post("/v1/conversations/default/messages", json={"input": "Hi"})).status_code == 404


# ---- beyond the API ----


async def test_a_log_can_be_read_watched_and_taken_up_again(door: Door) -> None:
    agent_id = await door.agent()
    run = await door.post(f"/v1/agents/{agent_id}/messages/async", {"input": script(text="Hello")})
    assert (await door.ended(run["id"]))["status"] == "completed"
    page = await door.get(f"/v1/runs/{run['id']}/events")
    assert page["complete"] is True
    sequences = [event["sequence"] for event in page["events"]]
    path = f"/v1/runs/{run['id']}:watch"
    async with door.stream(path, method="GET") as events:
        told = [event async for event in events]
    assert [event.id for event in told if event.name is None and event.data != "[DONE]"] == sequences
    async with door.stream(path, method="GET", **{"last-event-id": "2"}) as events:
        assert [event.id async for event in events if event.id is not None] == sequences[2:]
    both = await door.http.get(path, params={"after_sequence": 1, "latest": "true"})
    assert both.status_code == 422


async def test_pending_actions_are_listed_and_answered(door: Door) -> None:
    agent_id = await _pending(door)
    call_id = await _call_id(door, agent_id)
    item = {"type": "tool", "tool_call_id": call_id, "status": "success", "tool_return": "yes"}
    path = "/v1/conversations/default/actions:respond"
    answer = await door.post(path, {"agent_id": agent_id, "decisions": [item]})
    assert answer["still_pending"] == []
    assert (await door.ended(answer["run"]["id"]))["stop_reason"] == "end_turn"
