"""Where the REST door differs from Letta's server on purpose, and nothing else shows it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.faults.caller import patiently
from tests.faults.gated import at, hold_calls
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve
from tests.gateway.door import Door, knocking, script

HELD = "held in the middle"


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    return hold_calls(monkeypatch, at(2, HELD))


@pytest.fixture
async def door(gate: HeldCalls, serve: Serve) -> AsyncIterator[Door]:
    async with serve(http_address="127.0.0.1:0") as server, knocking(server) as opened:
        yield opened


async def _ended(door: Door, agent: str, text: str, **more: Any) -> Any:
    run = await door.post(f"/v1/agents/{agent}/messages/async", {"input": text, **more})
    return await door.ended(run["id"])


async def test_an_asynchronous_run_is_shown_as_running_while_it_works(gate: HeldCalls, door: Door) -> None:
    agent = await door.agent()
    run = await door.post(f"/v1/agents/{agent}/messages/async", {"input": script(text=HELD)})
    await patiently(gate.held.get())

    assert (run["status"], (await door.get(f"/v1/runs/{run['id']}"))["status"]) == ("created", "running")
    gate.release()
    assert (await door.ended(run["id"]))["status"] == "completed"


@pytest.mark.parametrize(
    ("play", "reason"),
    [
        ({"text": "x", "error": {"kind": "authentication"}}, "llm_api_error"),
        ({"text": ""}, "invalid_llm_response"),
        ({"steps": [{"text": "cut off", "finish": "length"}]}, "max_tokens_exceeded"),
    ],
)
async def test_an_asynchronous_run_that_fails_has_the_precise_reason(
    door: Door, play: dict[str, Any], reason: str
) -> None:
    run = await _ended(door, await door.agent(), script(**play))

    assert (run["status"], run["stop_reason"]) == ("failed", reason)


async def test_the_input_is_kept_though_the_first_model_call_fails(door: Door) -> None:
    said = script(text="x", error={"kind": "authentication"})
    run = await _ended(door, await door.agent(), said)

    told = await door.get(f"/v1/runs/{run['id']}/messages")
    assert [(each["message_type"], each["content"]) for each in told] == [("user_message", said)]


async def test_types_are_filtered_before_the_limit_counts(door: Door) -> None:
    run = await _ended(door, await door.agent(), script(text="hi"), include_return_message_types=["assistant_message"])

    (told,) = await door.get(f"/v1/runs/{run['id']}/messages", limit=1)
    assert (told["message_type"], told["content"]) == ("assistant_message", "hi")


async def test_a_blocking_call_in_a_conversation_ends_its_run_there(door: Door) -> None:
    agent = await door.agent()
    conversation = (await door.post(f"/v1/conversations/?agent_id={agent}", {}))["id"]
    body = {"messages": [{"role": "user", "content": script(text="hi")}], "streaming": False}
    told = await door.post(f"/v1/conversations/{conversation}/messages", body)
    run = await door.get(f"/v1/runs/{told['messages'][0]['run_id']}")

    assert (run["status"], run["conversation_id"]) == ("completed", conversation)


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "many"])
async def test_limits_of_lists_are_1_to_1000(door: Door, limit: str) -> None:
    agent = await door.agent()
    for path in ("/v1/agents/", "/v1/runs/", f"/v1/agents/{agent}/messages"):
        answer = await door.http.get(path, params={"limit": limit})
        assert (answer.status_code, "limit" in answer.json()["detail"]) == (422, True), path


async def test_both_forms_of_a_path_are_answered(door: Door) -> None:
    agent = await door.agent()
    for path in ("/v1/agents", f"/v1/agents/{agent}", "/v1/runs"):
        plain, with_slash = await door.http.get(path), await door.http.get(f"{path}/")
        assert (plain.status_code, plain.text) == (with_slash.status_code, with_slash.text) == (200, plain.text)


async def test_a_header_makes_nobody_another_user(door: Door) -> None:
    agent = await door.agent()
    for user in ("user-b8a6d2f4-17c3-4e59-8f20-6a9d41c7e305", "nobody"):
        answer = await door.http.get(f"/v1/agents/{agent}", headers={"user_id": user})
        assert (answer.status_code, answer.json()["id"]) == (200, agent)


async def test_every_caller_is_told_relations_only_if_he_asks_for_them(door: Door) -> None:
    agent = (await door.post("/v1/agents/", {"model": "scripted/echo", "tags": ["a"]}))["id"]
    for user_agent in ("curl/8.5.0", "letta-client/1.12.1"):
        for query, tags in ({}, []), ({"include": "agent.tags"}, ["a"]):
            answer = await door.http.get(f"/v1/agents/{agent}", params=query, headers={"user-agent": user_agent})
            assert answer.json()["tags"] == tags
