"""Replicas on one database, what is around them, and callers of them all."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc.aio
import httpx

from tests.chaos.findings import Findings
from tests.chaos.plan import Plan
from tests.chaos.replica import Replica, replica
from tests.chaos.rest import Rest
from tests.faults.caller import CHANNEL_OPTIONS, Caller, Refusal, is_passing
from tests.fixtures.own_postgres import OwnPostgres, own_postgres

T = TypeVar("T")

CALL_S = 4.0
"""A call that has no answer by then is made again."""
_PATIENCE_S = 90.0
"""Nothing fails for so long."""
_BALANCED = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})
_REAL = "sendoff_server"
_OWN_LEASE = "tests.chaos.short_lease_server"
_LEASE_S = 10.0


class Stuck(Exception):
    """Repeated for a long time, and never answered."""


class Callers:
    """The first goes round all replicas; the others each have one of their own."""

    def __init__(self, callers: Sequence[Caller], findings: Findings, chance: random.Random) -> None:
        self._callers = callers
        self._findings = findings
        self._chance = chance

    @property
    def balanced(self) -> Caller:
        return self._callers[0]

    def any(self) -> Caller:
        return self._chance.choice(self._callers)

    async def insist(self, call: Callable[[Caller], Awaitable[T]]) -> T:
        """Call one of them after the other until there is an answer. Raises AioRpcError for one that is final, and
        Stuck."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while True:
                    try:
                        return await call(self.any())
                    except grpc.aio.AioRpcError as error:
                        if not is_passing(error) and Refusal(error).retry_after_s is None:
                            raise
                        self._findings.count("calls repeated")
                    await asyncio.sleep(self._chance.uniform(0.05, 0.3))
        except TimeoutError:
            raise Stuck(f"no answer for {_PATIENCE_S:.0f} s") from None


@dataclass(frozen=True)
class Cluster:
    database: OwnPostgres
    replicas: Sequence[Replica]
    callers: Callers
    rest: Rest
    secret: str
    """Signs callbacks."""


@asynccontextmanager
async def cluster(plan: Plan, folder: Path, tools: object, findings: Findings) -> AsyncIterator[Cluster]:
    """Running inside the block. `tools`: the file of MCP servers."""
    servers, secrets = folder / "mcp.json", folder / "callback.secret"
    servers.write_text(json.dumps(tools))
    flags = ("--mcp-servers-file", str(servers), "--callback-secret-file", str(secrets), "--max-running", "64")
    os.environ["CHAOS_LEASE_S"] = str(plan.lease_s)
    module = _REAL if plan.lease_s == _LEASE_S else _OWN_LEASE
    with own_postgres(max_connections="100") as database:
        await database.create_database("sendoff")
        async with AsyncExitStack() as stack:
            replicas = [
                await stack.enter_async_context(replica(f"replica-{number}", folder, database, module, flags, findings))
                for number in range(1, plan.replicas + 1)
            ]
            for each in replicas:  # all at once on an empty database
                await each.serving.wait()
            addresses = [each.callers_wire.address for each in replicas]
            channels = [await stack.enter_async_context(_channel(address)) for address in (_all(addresses), *addresses)]
            callers = Callers([Caller(channel) for channel in channels], findings, random.Random(plan.seed))
            bases = [f"http://{each.rest_wire.address}" for each in replicas]
            doors = [await stack.enter_async_context(httpx.AsyncClient(base_url=base)) for base in bases]
            rest = Rest(doors, findings, plan.seed)
            yield Cluster(database, replicas, callers, rest, secrets.read_text().strip())


def _channel(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address, options=[*CHANNEL_OPTIONS, ("grpc.service_config", _BALANCED)])


def _all(addresses: Sequence[str]) -> str:
    return f"ipv4:{','.join(addresses)}"
