"""Callers of every kind at both doors while servers come and go, and what they were told."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
from letta_client import AsyncLetta

from sendoff import AsyncClient, v1
from tests.deploy.policies import over_rest
from tests.faults.caller import CHANNEL_OPTIONS, PATIENCE_S, Caller, script

LONG_S = 6.0
"""More than a server that stops gives a run, so that another one goes on with it."""

AGAIN_S = 0.2
"""How soon a watch that was cut is taken up again."""

_SHORT = script(text="an answer", first_delay_ms=400)
_LONG = script(text="late", first_delay_ms=LONG_S * 1_000)

Behaviour = Callable[[], Coroutine[Any, Any, None]]


@dataclass
class Load:
    """Callers of servers at these addresses; at more than one they go from one to the other by themselves.

    A call that fails ends the load with its error, after all that its caller may do about it.
    """

    grpc_target: str
    http_addresses: Sequence[str]
    service_configs: Sequence[str | None] = (None, None)
    """Of each caller with generated stubs. None: he repeats nothing."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    accepted: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The runs of each agent, in the order in which they were accepted."""
    calls: Counter[str] = field(default_factory=Counter)
    """How many of each kind were answered."""

    @property
    def behaviours(self) -> list[Behaviour]:
        """All callers, each to be called once."""
        found: list[Behaviour] = [partial(self.stubs, config) for config in self.service_configs]
        found += [self.client, self.rest, self.rest, self.long_runs]
        return [*found, self.official] if len(self.http_addresses) == 1 else found

    async def stubs(self, service_config: str | None) -> None:
        """Generated stubs, as any language has them."""
        options: list[tuple[str, Any]] = [*CHANNEL_OPTIONS]
        if service_config is not None:
            options.append(("grpc.service_config", service_config))
        async with grpc.aio.insecure_channel(self.grpc_target, options=options) as channel:
            caller = Caller(channel)
            agent = await caller.agent()
            while not self.over.is_set():
                run = await caller.send(agent, _SHORT, request_id=str(uuid.uuid4()))
                self._took(agent, run.id)
                await self._look(caller, agent, run.id)
                await self._waited(caller, run.id)
                await self._watched(caller, run.id)

    async def _look(self, caller: Caller, agent: str, run_id: str) -> None:
        await caller.get(run_id)
        await caller.runs.ListRuns(v1.ListRunsRequest(agent_id=agent, page_size=5), timeout=PATIENCE_S)
        await caller.ops.GetQueueStats(v1.GetQueueStatsRequest(), timeout=PATIENCE_S)
        await caller.runs.ExplainRun(v1.ExplainRunRequest(run_id=run_id), timeout=PATIENCE_S)
        self.calls.update(("GetRun", "ListRuns", "GetQueueStats", "ExplainRun"))

    async def _waited(self, caller: Caller, run_id: str) -> None:
        """Until it has ended: a server that stops answers with the run as it is."""
        run = v1.Run()
        while not run.HasField("complete_time"):
            run = await caller.runs.WaitRun(v1.WaitRunRequest(run_id=run_id), timeout=PATIENCE_S)
            self.calls["WaitRun"] += 1
        assert run.status == v1.RUN_STATUS_COMPLETED

    async def _watched(self, caller: Caller, run_id: str) -> None:
        """By hand: again behind the last event, where the server says so."""
        numbers = [0]
        while True:
            try:
                async for told in caller.watch(run_id, after_sequence=numbers[-1]):
                    numbers += [told.event.sequence] if told.HasField("event") else []
                break
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                await asyncio.sleep(AGAIN_S)
        assert numbers == list(range(len(numbers)))
        self.calls["WatchRun"] += 1

    async def client(self) -> None:
        """The Python client, as it is by default."""
        async with AsyncClient(self.grpc_target) as client:
            agent = (await client.create_agent(name="subject", model="scripted/script")).id
            while not self.over.is_set():
                run = await client.send(agent, _SHORT)
                self._took(agent, run.id)
                await _follow(client, run.id)
                assert (await client.wait_run(run.id)).status == v1.RUN_STATUS_COMPLETED
                self.calls.update(("client.watch", "client.wait_run"))

    async def rest(self) -> None:
        """Sends and reads over REST, asynchronously and not, and streams."""
        async with over_rest(self.http_addresses) as ask:
            told = {"model": "scripted/script", "include_base_tools": False}
            agent = (await ask("POST", "/v1/agents/", json=told))["id"]
            while not self.over.is_set():
                run = await ask("POST", f"/v1/agents/{agent}/messages/async", json={"input": _SHORT})
                self._took(agent, run["id"])
                await ask.stream(f"/v1/runs/{run['id']}/stream")
                answer = await ask("POST", f"/v1/agents/{agent}/messages", json={"input": _SHORT})
                self._took(agent, answer["messages"][-1]["run_id"])
                await ask("GET", f"/v1/runs/{run['id']}")
                await ask("GET", f"/v1/agents/{agent}/messages", params={"limit": 5})
                self.calls.update(("POST messages", "POST stream", "GET run", "GET messages"))
            self.calls["REST repeats"] += ask.repeats

    async def official(self) -> None:
        """The API's own client, as it is by default, waits for answers that take longer than a server that stops."""
        async with AsyncLetta(api_key="any", base_url=f"http://{self.http_addresses[0]}") as sdk:
            agent = (await sdk.agents.create(model="scripted/script", include_base_tools=False)).id
            while not self.over.is_set():
                answer = (await sdk.agents.messages.create(agent, input=_LONG)).messages[-1]
                assert answer.message_type == "assistant_message"
                assert answer.run_id is not None
                self._took(agent, answer.run_id)

    async def long_runs(self) -> None:
        """Follows runs that last longer than the grace of a server."""
        async with AsyncClient(self.grpc_target) as client, over_rest(self.http_addresses) as ask:
            agent = (await client.create_agent(name="subject", model="scripted/script")).id
            while not self.over.is_set():
                run = await client.send(agent, _LONG)
                self._took(agent, run.id)
                async with asyncio.TaskGroup() as group:
                    group.create_task(_follow(client, run.id))
                    group.create_task(client.wait_run(run.id))
                    group.create_task(ask.stream(f"/v1/runs/{run.id}/stream"))

    def _took(self, agent_id: str, run_id: str) -> None:
        self.accepted[agent_id].append(run_id)
        self.calls["accepts"] += 1

    async def check(self, caller: Caller) -> None:
        """Once it is over: all that was accepted was done once, in its order."""
        for agent, sent in self.accepted.items():
            runs = await caller.list_all(agent_id=agent)
            assert [run.id for run in sorted(runs, key=_begun)] == sent
            assert {run.status for run in runs} == {v1.RUN_STATUS_COMPLETED}


def _begun(run: v1.Run) -> int:
    return run.start_time.ToNanoseconds()


async def _follow(client: AsyncClient, run_id: str) -> None:
    """A watch, which the client takes up again by itself, misses nothing and sees nothing twice."""
    numbers = [entry.sequence async for entry in client.watch(run_id) if isinstance(entry, v1.RunEvent)]
    assert numbers == list(range(1, len(numbers) + 1))
