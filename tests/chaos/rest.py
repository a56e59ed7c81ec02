"""The REST door of the replicas: the same requests sent there too, and runs followed as server-sent events."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import httpx

from sendoff import v1
from tests.chaos.findings import Findings
from tests.chaos.jobs import Job

_CALL_S = 5.0
_SILENCE_S = 8.0
_PATIENCE_S = 90.0
_SAME_NAMES: tuple[Literal["conversation_id", "callback_url"], ...] = ("conversation_id", "callback_url")
_LATER = frozenset({429, 502, 503, 504})


class Refused(Exception):
    """For good."""


class Rest:
    """Goes from one replica to the other until it is answered."""

    def __init__(self, doors: Sequence[httpx.AsyncClient], findings: Findings, seed: int) -> None:
        self.followed: dict[str, list[dict[str, Any]]] = {}
        """By run, the events that somebody saw."""
        self._doors = doors
        self._findings = findings
        self._chance = random.Random(seed)

    @staticmethod
    def can_send(job: Job) -> bool:
        """Whether its request is one that both doors say in the same words."""
        said = {field.name for field, _ in job.request.ListFields()}
        return said <= {"agent_id", "input", "request_id", *_SAME_NAMES}

    async def send(self, job: Job) -> str:
        """The request of a job, by the same key; the id of its run. Raises Refused."""
        said: dict[str, str] = {name: getattr(job.request, name) for name in _SAME_NAMES if job.request.HasField(name)}
        path, body = f"/v1/agents/{job.request.agent_id}/messages/async", {"input": job.text, **said}
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                answer = await self._post(path, body, {"idempotency-key": job.key})
                if answer is not None:
                    self._findings.count("requests sent again by REST")
                    return str(answer["id"])
                await asyncio.sleep(self._chance.uniform(0.05, 0.3))

    async def _post(self, path: str, body: Mapping[str, object], headers: Mapping[str, str]) -> Any:
        """The answer, or None if it is to be asked again."""
        try:
            answer = await self._any().post(path, json=body, headers=headers, timeout=_CALL_S)
        except httpx.TransportError:
            return None
        if answer.status_code in _LATER:
            return None
        if answer.status_code != 200:
            raise Refused(f"POST {path}: {answer.status_code} {answer.text}")
        return answer.json()

    async def follow(self, job: Job) -> None:
        """A run from its first event to its last, over as many streams as it takes, as a browser does."""
        await job.accepted.wait()
        seen = self.followed.setdefault(job.run_id, [])
        while not (seen and seen[-1]["type"] == "finished"):
            try:
                await self._read(job.run_id, seen)
            except (httpx.TransportError, TimeoutError):
                self._findings.count("event streams cut")
            await asyncio.sleep(self._chance.uniform(0.05, 0.3))

    async def _read(self, run_id: str, seen: list[dict[str, Any]]) -> None:
        headers = {"last-event-id": str(seen[-1]["sequence"])} if seen else {}
        query = {"heartbeat_interval": 2}
        path = f"/v1/runs/{run_id}:watch"
        async with self._any().stream("GET", path, params=query, headers=headers, timeout=_SILENCE_S) as answer:
            if answer.status_code in _LATER:
                return
            with self._findings.holding("P5", run_id):
                assert answer.status_code == 200, (await answer.aread()).decode()
                number = ""
                async for line in answer.aiter_lines():
                    name, _, value = line.partition(": ")
                    if name == "id":
                        number = value
                    elif name == "data" and number:
                        seen.append(json.loads(value))
                        assert int(number) == int(seen[-1]["sequence"]) == len(seen), f"{number} after {len(seen) - 1}"
                        number = ""

    def _any(self) -> httpx.AsyncClient:
        return self._chance.choice(self._doors)

    def check(self, run_id: str, log: Sequence[v1.RunEvent]) -> None:
        """Whoever followed a run saw its log."""
        seen = self.followed[run_id]
        told, types = [each["type"] for each in seen], [type_of(event) for event in log]
        self._findings.expect("P5", told == types, f"an event stream of {run_id} told {told} of {types}")


def type_of(event: v1.RunEvent) -> str:
    """What the door calls it."""
    kind = event.WhichOneof("event") or ""
    return event.message.WhichOneof("kind") or "" if kind == "message" else kind
