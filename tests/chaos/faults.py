"""What goes wrong, at random."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.chaos.cluster import Cluster
from tests.chaos.findings import Findings
from tests.chaos.plan import Plan
from tests.chaos.recovery import Recovery
from tests.chaos.replica import Replica
from tests.fixtures.own_postgres import Mode


@dataclass(frozen=True)
class Kind:
    told: str
    share: int
    """How often, beside the others."""


KINDS = {
    "kill": Kind("a replica ended with SIGKILL", 6),
    "freeze": Kind("a replica stopped for longer than its lease, and woken", 3),
    "term": Kind("a replica told to stop with SIGTERM, and started again", 3),
    "restart": Kind("the database shut down, and started again", 1),
    "crash": Kind("the database crashed, and started again", 2),
    "cut-callers": Kind("connections between callers and a replica reset", 3),
    "cut-database": Kind("connections between a replica and the database reset", 3),
    "silence": Kind("network between a replica and the database silent for seconds", 2),
}


_LOOK_S = 0.05
_START_S = 5.0
"""A replica that was ended can take over again after so long, about."""


class Faults:
    """Done one beside the other, but to one replica one at a time."""

    def __init__(self, plan: Plan, cluster: Cluster, recovery: Recovery, findings: Findings) -> None:
        self.done: Counter[str] = Counter()
        """By what is told of its kind."""
        self._plan = plan
        self._cluster = cluster
        self._recovery = recovery
        self._findings = findings
        self._chance = random.Random(plan.seed + 2)
        self._database = asyncio.Lock()
        self._to_replica: dict[str, Callable[[Replica], Awaitable[None]]] = {
            "kill": self._kill,
            "freeze": self._freeze,
            "term": self._terminate,
            "cut-callers": self._cut_callers,
            "cut-database": self._cut_database,
            "silence": self._silence,
        }
        self._to_database: dict[str, Mode] = {"restart": "fast", "crash": "immediate"}

    async def happen(self) -> None:
        """Begin one after the other while the plan lasts; returns when each is done to its end."""
        names = list(self._plan.kinds or KINDS)
        shares = [KINDS[name].share for name in names]
        first = self._chance.sample(names, len(names))
        end = time.monotonic() + self._plan.seconds
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(self._chance.uniform(0.4, 1.6) * self._plan.pause_s)
                name = first.pop() if first else self._chance.choices(names, shares)[0]
                replica = None if name in self._to_database else await self._well()
                if time.monotonic() > end:
                    return
                group.create_task(self._do(name, replica))

    async def _do(self, name: str, replica: Replica | None) -> None:
        """To a replica, or to the database. Nothing else is done to it meanwhile."""
        async with self._database if replica is None else replica.busy:
            begun_s = time.time()
            if replica is None:
                await self._restart_database(self._to_database[name])
            else:
                await self._to_replica[name](replica)
        self.done[KINDS[name].told] += 1
        for each in self._cluster.replicas if replica is None else (replica,):
            self._recovery.unwell[each.name].append((begun_s, time.time() + _START_S))

    async def _well(self) -> Replica:
        """One that serves and to which nothing is done, as soon as there are two: one is left to the callers, so that
        on a slow machine replicas have the time to start between two faults."""
        while True:
            well = [each for each in self._cluster.replicas if self._is_well(each)]
            if len(well) > 1:
                return self._chance.choice(well)
            await asyncio.sleep(_LOOK_S)

    def _is_well(self, replica: Replica) -> bool:
        return replica.serving.is_set() and not replica.busy.locked()

    # ---- to a replica ----

    async def _kill(self, victim: Replica) -> None:
        replica_id = victim.replica_id
        self._findings.tell(f"kill {victim.name} {replica_id}")
        killed_at_s = await victim.kill(self._chance.uniform(0, 3))
        await self._recovery.killed(replica_id, killed_at_s)

    async def _freeze(self, victim: Replica) -> None:
        self._findings.tell(f"freeze {victim.name} {victim.replica_id}")
        seconds = self._plan.lease_s * self._chance.uniform(1.3, 1.6)
        if await victim.freeze(seconds):
            self._findings.count("replicas that slept so long, and nobody had declared them dead")
        self._findings.tell(f"woke {victim.name}")

    async def _terminate(self, victim: Replica) -> None:
        self._findings.tell(f"terminate {victim.name} {victim.replica_id}")
        await victim.terminate(self._chance.uniform(0, 1))

    # ---- to what is between ----

    async def _cut_callers(self, victim: Replica) -> None:
        self._findings.tell(f"cut callers of {victim.name}")
        victim.callers_wire.cut()
        victim.rest_wire.cut()

    async def _cut_database(self, victim: Replica) -> None:
        self._findings.tell(f"cut {victim.name} from the database")
        victim.database_wire.cut()

    async def _silence(self, victim: Replica) -> None:
        """Shorter and longer than a lease."""
        seconds = self._plan.lease_s * self._chance.uniform(0.2, 1.5)
        self._findings.tell(f"silence between {victim.name} and the database, {seconds:.1f} s")
        victim.database_wire.silence()
        await asyncio.sleep(seconds)
        victim.database_wire.restore()

    # ---- to the database ----

    async def _restart_database(self, mode: Mode) -> None:
        self._findings.tell(f"restart the database, {mode}")
        await self._cluster.database.restart(mode)
