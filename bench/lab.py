"""What every measurement needs: the bare server and the load generator, running; servers of ours, on demand."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc

from bench import machine
from bench.database import Database, database
from bench.load.target import TEXT
from bench.processes import Child, child
from sendoff import v1
from sendoff.v1.agent_service_pb2_grpc import AgentServiceStub
from sendoff.v1.run_service_pb2_grpc import RunServiceStub
from sendoff_server.api.server import server_options  # so that the bare server's cannot differ from ours
from sendoff_server.settings import Settings

Figures = dict[str, Any]
ECHO = "scripted/echo"
SCRIPT = "scripted/script"
ANSWERING = json.dumps({"script": {"words": 10, "chunk_words": 5}})
"""Text for a model that answers ten words at once, in two pieces."""
HANGING = json.dumps({"script": {"words": 1, "hang": True}})
"""Text of a system prompt or message for a model that never ends."""

_AT_ONCE = 16


@dataclass(frozen=True)
class Compared:
    """Figures of ours and of the ceiling, taken in turns: the n-th of one belongs to the n-th of the other."""

    ours: Sequence[Figures]
    bare: Sequence[Figures]

    def ratio(self, figure: Callable[[Figures], float]) -> float:
        """Median of ours divided by the ceiling."""
        return statistics.median(figure(ours) / figure(bare) for ours, bare in zip(self.ours, self.bare, strict=True))


def median(figures: Sequence[Figures], figure: Callable[[Figures], float]) -> float:
    return statistics.median(map(figure, figures))


def rate(figures: Figures) -> float:
    return float(figures["calls"] / figures["seconds"])


def p50(figures: Figures) -> float:
    return float(figures["p50_ms"])


def p99(figures: Figures) -> float:
    return float(figures["p99_ms"])


def cpu_us(figures: Figures) -> float:
    """Microseconds of the server's CPU per call."""
    return float(figures["server_cpu_s"] / figures["calls"] * 1e6)


class Server(Protocol):
    """What calls can be measured of."""

    @property
    def address(self) -> str: ...

    def cpu_s(self) -> float: ...


@dataclass(frozen=True)
class Replicas:
    """Equal servers on one database; calls go to each of them in turn."""

    database: Database
    servers: Sequence[Child]

    @property
    def address(self) -> str:
        """Of all of them, as gRPC writes it."""
        return "ipv4:" + ",".join(server.address for server in self.servers)

    def cpu_s(self) -> float:
        return sum(server.cpu_s() for server in self.servers)


@dataclass(frozen=True)
class Lab:
    """Where it is measured."""

    quick: bool
    """Just to see that it works."""
    rounds: int
    directory: Path
    """Databases are made in it."""
    load: Child
    bare: Child

    def choose(self, usual: int, quick: int) -> int:
        return quick if self.quick else usual

    @property
    def seconds(self) -> float:
        """How long one side of one round is loaded."""
        return 0.2 if self.quick else 2.0

    async def call(self, server: Server, do: str, **arguments: Any) -> Figures:
        """Load a server, and see what CPU time that took it."""
        used_s = server.cpu_s()
        figures = await self.load.call(do, **{"address": server.address, **arguments})
        figures["server_cpu_s"] = server.cpu_s() - used_s
        return figures

    async def call_all(self, replicas: Replicas, do: str, **arguments: Any) -> Figures:
        """As `call`, of replicas; and see what CPU time it took their database."""
        used_s = replicas.database.cpu_s()
        figures = await self.call(replicas, do, **arguments)
        figures["database_cpu_s"] = replicas.database.cpu_s() - used_s
        return figures

    async def take_turns(
        self,
        ours: Callable[[], Awaitable[Figures]],
        bare: Callable[[], Awaitable[Figures]],
        *,
        most_rounds: int | None = None,
    ) -> Compared:
        """Measure both once unrecorded, to warm up, then in turns: what disturbs the machine disturbs both."""
        await bare()
        await ours()
        compared = Compared([], [])
        for _ in range(min(self.rounds, most_rounds or self.rounds)):
            compared = Compared([*compared.ours, await ours()], [*compared.bare, await bare()])
        return compared

    @asynccontextmanager
    async def server(
        self,
        *flags: str,
        data_dir: Path | None = None,
        env: Mapping[str, str] | None = None,
        cores: frozenset[int] | None = None,
    ) -> AsyncIterator[Child]:
        """`sendoff-server serve` with scripted models, on a database of its own or the one in `data_dir`."""
        with tempfile.TemporaryDirectory(dir=self.directory) as scratch:
            arguments = ("serve", "--log-format", "json", "--grpc-address", "127.0.0.1:0", "--drain-grace-s", "0")
            if "--http-address" not in flags:
                flags = (*flags, "--http-address", "off")
            where = ("--data-dir", str(data_dir or scratch), "--scripted-model", "--default-model", ECHO)
            async with child(
                "sendoff_server", *arguments, *where, *flags, cores=cores or machine.cores().server, env=env
            ) as started:
                yield started

    @asynccontextmanager
    async def replicas(self, count: int, *flags: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Replicas]:
        """So many servers on a PostgreSQL of their own. They and it share all cores, as the system gives them out."""
        async with AsyncExitStack() as stack:
            shared = await stack.enter_async_context(database(self.directory))
            servers = [await stack.enter_async_context(self.replica(shared, *flags, env=env)) for _ in range(count)]
            yield Replicas(shared, servers)

    def replica(
        self, shared: Database, *flags: str, env: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[Child]:
        """One more server on that database."""
        return self.server("--database-url", shared.dsn, *flags, env=env, cores=machine.cores().all)


@asynccontextmanager
async def lab(*, quick: bool, rounds: int, directory: Path) -> AsyncIterator[Lab]:
    """A lab inside the block; all its processes are ended after it."""
    cores = machine.cores()
    async with bare_server() as bare, child("bench.load", cores=cores.client) as load:
        yield Lab(quick, rounds, directory, load, bare)


@asynccontextmanager
async def bare_server() -> AsyncIterator[Child]:
    options = json.dumps(server_options(Settings.model_construct()))
    async with child("bench.bare", options, cores=machine.cores().server) as started:
        yield started


async def agents(address: str, count: int, model: str = ECHO, system: str = "") -> list[str]:
    """Ids of that many new agents."""
    request = v1.CreateAgentRequest(agent=v1.Agent(name="bench", model=model, system=system))
    async with grpc.aio.insecure_channel(address) as channel:
        stub = AgentServiceStub(channel)
        return [agent.id for agent in await _each(count, lambda _: stub.CreateAgent(request))]


async def accepted(address: str, agent_ids: Sequence[str], count: int, fairness_key: str = "") -> list[str]:
    """Ids of that many new runs, agent after agent."""
    scheduling = v1.Scheduling(fairness_key=fairness_key) if fairness_key else None
    requests = [
        v1.CreateMessageAsyncRequest(agent_id=agent_id, input=v1.Content(text=TEXT), scheduling=scheduling)
        for agent_id in agent_ids
    ]
    async with grpc.aio.insecure_channel(address) as channel:
        stub = RunServiceStub(channel)
        runs = await _each(count, lambda number: stub.CreateMessageAsync(requests[number % len(requests)]))
        return [run.id for run in runs]


async def _each(count: int, call: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """Call so often, a few at once."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int) -> Any:
        async with gate:
            return await call(number)

    return await asyncio.gather(*map(one, range(count)))
