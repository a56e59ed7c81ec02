"""Callers of the REST door: raw HTTP, and the events of a stream."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from sendoff_server import app

PATIENCE_S = 20.0


@dataclass(frozen=True)
class Event:
    """One event of a stream."""

    data: Any
    name: str | None
    id: int | None


class Door:
    """Calls of one raw client."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def agent(self, **fields: Any) -> str:
        told = {"name": "subject", "model": "scripted/script", **fields}
        return str((await self.post("/v1/agents/", told))["id"])

    async def post(self, path: str, body: Any, **headers: str) -> Any:
        """The answer's body; the call must succeed."""
        response = await self.http.post(path, json=body, headers=headers)
        assert response.status_code == 200, response.text
        return response.json()

    async def get(self, path: str, **query: Any) -> Any:
        response = await self.http.get(path, params=query)
        assert response.status_code == 200, response.text
        return response.json()

    async def ended(self, run_id: str) -> Any:
        while (run := await self.get(f"/v1/runs/{run_id}:wait", timeout=20))["completed_at"] is None:
            pass
        return run

    async def events(self, path: str, body: Any, **headers: str) -> list[Event]:
        """All events of a stream, which must end as streams do."""
        async with self.stream(path, body, **headers) as events:
            told = [event async for event in events]
        assert told[-1].data == "[DONE]"
        return told[:-1]

    @asynccontextmanager
    async def stream(
        self, path: str, body: Any = None, method: str = "POST", **headers: str
    ) -> AsyncIterator[AsyncIterator[Event]]:
        async with self.http.stream(method, path, json=body, headers=headers) as response:
            if response.status_code != 200:
                raise AssertionError((await response.aread()).decode())
            assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
            yield _events(response)


async def _events(response: httpx.Response) -> AsyncIterator[Event]:
    told: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            told[name] = value
        elif told:
            data = told["data"] if told["data"] == "[DONE]" else json.loads(told["data"])
            yield Event(data, told.get("event"), int(told["id"]) if "id" in told else None)
            told = {}


@asynccontextmanager
async def knocking(server: app.Server) -> AsyncIterator[Door]:
    assert server.http is not None
    async with httpx.AsyncClient(base_url=f"http://{server.http.address}", timeout=PATIENCE_S) as http:
        yield Door(http)


def script(**told: Any) -> str:
    return json.dumps({"script": told})


def fold(events: list[Event]) -> list[Any]:
    """What the events come to: messages whole, pieces joined; without pings, dates and numbers."""
    told: dict[tuple[str, str], Any] = {}
    for index, event in enumerate(events):
        data = {name: value for name, value in event.data.items() if name not in ("seq_id", "date")}
        if data["message_type"] == "ping":
            continue
        key = (data.get("id", str(index)), data["message_type"])
        told[key] = _joined(told[key], data) if key in told else data
    return list(told.values())


def _joined(had: Any, more: Any) -> Any:
    joined = dict(had)
    for member in ("content", "reasoning"):
        if member in more:
            joined[member] = had[member] + more[member]
    if isinstance(more.get("tool_calls"), dict):
        joined["tool_calls"] = joined["tool_call"] = _call(had["tool_calls"], more["tool_calls"])
    return joined


def _call(had: Any, more: Any) -> Any:
    calls = had if isinstance(had, list) else [had]
    last = calls[-1]
    if last["tool_call_id"] != more["tool_call_id"]:
        return [*calls, more]
    filled = {name: (last.get(name) or "") + (more.get(name) or "") for name in ("name", "arguments")}
    return [*calls[:-1], {**filled, "tool_call_id": last["tool_call_id"]}]
