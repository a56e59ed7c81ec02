"""What keeps a run, how much waits, and what the server is, over REST."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from sendoff_server.gateway.openapi import document
from sendoff_server.gateway.server import _TABLES
from tests.faults.caller import patiently
from tests.faults.gated import at, hold_calls
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve
from tests.gateway.door import Door, knocking, script

HELD = "held in the middle"


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    return hold_calls(monkeypatch, at(1, HELD))


@pytest.fixture
async def door(serve: Serve, gate: HeldCalls) -> AsyncIterator[Door]:
    """Of a server with one slot."""
    async with serve(http_address="127.0.0.1:0", max_running=1) as server, knocking(server) as door:
        yield door


async def _sent(door: Door, agent: str, text: str, **fields: object) -> str:
    body = {"messages": [{"role": "user", "content": script(text=text)}], **fields}
    return str((await door.post(f"/v1/agents/{agent}/messages/async", body))["id"])


@cache
def _described() -> dict[str, Any]:
    told: dict[str, Any] = document(_TABLES)["components"]
    return told


def _fits(told: object, name: str) -> None:
    described = _described()
    Draft202012Validator({**described["schemas"][name], "components": described}).validate(told)


async def test_a_run_that_waits_is_explained(door: Door, gate: HeldCalls) -> None:
    holder = await _sent(door, await door.agent(), HELD)
    await patiently(gate.held.get())
    waits = await _sent(door, await door.agent(), "x", scheduling={"fairness_key": "acme"}, limits={"queue_ttl": 60})
    told = await door.get(f"/v1/runs/{waits}:explain")
    _fits(told, "RunExplanation")
    assert told["run"] == await door.get(f"/v1/runs/{waits}")
    assert (told["phase"], told["wait"]["reason"]) == ("queued", "NO_SLOT")
    assert told["blocking_run_ids"] == [holder]
    assert (told["slot_queue"]["fairness_key"], told["slot_queue"]["slots"]) == ("acme", 1)
    assert (told["lease"], told["pending_actions"]) == (None, [])
    assert told["latest_start_time"] > told["run"]["created_at"]
    assert told["facts"][0].startswith("It waits for a slot since ")
    of_holder = await door.get(f"/v1/runs/{holder}:explain")
    _fits(of_holder, "RunExplanation")
    assert (of_holder["phase"], of_holder["wait"], of_holder["lease"]["run_id"]) == ("calling_model", None, holder)
    gate.release()
    await door.ended(waits)


async def test_how_much_waits_is_told(door: Door, gate: HeldCalls) -> None:
    await _sent(door, await door.agent(), HELD)
    await patiently(gate.held.get())
    waits = await _sent(door, await door.agent(), "x", scheduling={"fairness_key": "acme"})
    told = await door.get("/v1/queue-stats", fairness_key="acme")
    _fits(told, "QueueStats")
    (bucket,) = told["buckets"]
    assert (bucket["fairness_key"], bucket["queued"], bucket["running"]) == ("acme", 1, 0)
    assert bucket["oldest_age"] > 0
    assert (told["slots"], told["slots_used"], len(told["replicas"])) == (1, 1, 1)
    assert len((await door.get("/v1/queue-stats"))["buckets"]) == 2
    gate.release()
    await door.ended(waits)
    (of_acme,) = (await door.get("/v1/queue-stats", fairness_key="acme"))["slot_waits"]
    assert 0 < of_acme["p50"] <= of_acme["p95"] <= of_acme["max"]


async def test_what_the_server_is_is_told(door: Door) -> None:
    told = await door.get("/v1/server-info")
    _fits(told, "ServerInfo")
    assert told["limits"]["max_page_size"] == 1000
    assert "run_explanations" in told["features"]


async def test_what_is_asked_wrongly_is_refused_by_name(door: Door) -> None:
    unknown = await door.http.get("/v1/runs/run-00000000-0000-4000-8000-000000000000:explain")
    assert unknown.status_code == 404
    too_long = await door.http.get("/v1/queue-stats", params={"fairness_key": "k" * 65})
    assert (too_long.status_code, "fairness_key" in too_long.text) == (422, True)
