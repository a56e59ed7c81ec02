"""What only the REST door tells: whether to ask again, and where to go on when the server stops."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.faults.caller import patiently, script
from tests.faults.gated import at, hold_calls
from tests.fixtures.server import Serve
from tests.gateway.sdk import url

HELD = "held in the middle"


async def test_what_will_not_go_away_is_not_asked_again(serve: Serve) -> None:
    async with serve(http_address="127.0.0.1:0") as server, httpx.AsyncClient(base_url=url(server)) as http:
        agent = (await http.post("/v1/agents/", json={"model": "scripted/echo"})).json()["id"]
        refused = await http.post(f"/v1/agents/{agent}/messages/cancel", json={})

    assert refused.status_code == 409
    assert refused.headers["x-should-retry"] == "false"


async def test_a_server_that_stops_ends_streams_with_the_place_to_go_on_from(
    monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    gate = hold_calls(monkeypatch, at(2, HELD))
    async with httpx.AsyncClient() as http:
        async with serve(http_address="127.0.0.1:0", drain_grace_s=0.1) as server:
            base = url(server)
            agent = (await http.post(f"{base}/v1/agents/", json={"model": "scripted/script"})).json()["id"]
            sent = await http.post(f"{base}/v1/agents/{agent}/messages/async", json={"input": script(text=HELD)})
            await patiently(gate.held.get())
            stream = await http.send(
                http.build_request("POST", f"{base}/v1/runs/{sent.json()['id']}/stream"), stream=True
            )
            lines = stream.aiter_lines()
            first = [await patiently(anext(lines)) for _ in range(2)]
        rest = [line async for line in lines]
        await stream.aclose()
        with pytest.raises(httpx.ConnectError):
            await http.get(f"{base}/v1/health/")

    assert first[0] == "id: 1"
    assert "event: error" in rest
    told = json.loads(rest[rest.index("event: error") + 1].removeprefix("data:"))
    assert told["error_type"] == "stream_incomplete"
    assert "data: [DONE]" in rest
