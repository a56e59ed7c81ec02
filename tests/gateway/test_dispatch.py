"""Pauses of dispatch over REST."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fixtures.server import Serve
from tests.gateway.door import Door, knocking, script

NOBODY = "agent-00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def door(serve: Serve) -> AsyncIterator[Door]:
    async with serve(http_address="127.0.0.1:0") as running, knocking(running) as opened:
        yield opened


async def test_what_is_paused_waits_until_it_is_resumed(door: Door) -> None:
    agent = await door.agent()
    made = await door.post("/v1/dispatch:pause", {"agent_id": agent, "reason": "night"})
    assert (made["agent_id"], made["fairness_key"], made["reason"]) == (agent, None, "night")
    assert made["create_time"].endswith("Z")
    assert await door.post("/v1/dispatch:pause", {"agent_id": agent}) == made
    assert await door.get("/v1/dispatch-pauses") == [made]

    run = await door.post(f"/v1/agents/{agent}/messages/async", {"input": script(text="ahoy")})
    assert (await door.get(f"/v1/runs/{run['id']}"))["status"] == "created"
    assert await door.post("/v1/dispatch:resume", {"agent_id": agent}) == {"was_paused": True}
    assert await door.post("/v1/dispatch:resume", {"agent_id": agent}) == {"was_paused": False}
    assert (await door.ended(run["id"]))["status"] == "completed"
    assert await door.get("/v1/dispatch-pauses") == []


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"agent_id": NOBODY}, 404, NOBODY),
        ({"agent_id": NOBODY, "fairness_key": "a"}, 422, "fairness_key"),
        ({"fairness_key": ""}, 422, "fairness_key"),
        ({"fairness": "a"}, 422, "fairness"),
    ],
)
async def test_what_cannot_be_paused_is_refused_by_name(door: Door, body: object, status: int, told: str) -> None:
    response = await door.http.post("/v1/dispatch:pause", json=body)
    assert response.status_code == status
    assert told in response.text
