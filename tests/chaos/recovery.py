"""How long the runs of a replica that was killed stand still."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import asyncpg

from sendoff import v1
from tests.chaos.findings import Findings

_TRIES = 20

# Only here the test looks into the database: nobody else knows what a dead replica was at.
_HELD = """
SELECT r.id, r.last_sequence
FROM replica
JOIN lane l ON l.owner = replica.no
CROSS JOIN LATERAL (
  SELECT * FROM run o WHERE o.lane_no = l.no AND o.seq >= l.head_seq AND o.status <= 2 ORDER BY o.seq LIMIT 1
) r
WHERE replica.id = $1
"""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A run that a kill met."""

    run_id: str
    last_sequence: int
    killed_at_s: float
    """By the clock of the system."""


class Recovery:
    """Of all kills."""

    def __init__(self, dsn: str, replicas: Sequence[str], findings: Findings) -> None:
        self.interrupted: list[Interrupted] = []
        self.unwell: dict[str, list[tuple[float, float]]] = defaultdict(list)
        """By replica, when it could not take over from others: from and until, by the clock of the system."""
        self._dsn = dsn
        self._replicas = replicas
        self._findings = findings

    async def killed(self, replica_id: str, at_s: float) -> None:
        """Note what a replica held that is dead since then."""
        for _ in range(_TRIES):
            try:
                held = await self._held(replica_id)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):  # something was done to the database too
                await asyncio.sleep(0.1)
                continue
            self.interrupted += [Interrupted(run_id, sequence, at_s) for run_id, sequence in held]
            return
        self._findings.count("kills of which it is not known what they interrupted")

    async def _held(self, replica_id: str) -> Sequence[tuple[str, int]]:
        connection = await asyncpg.connect(self._dsn, timeout=2)
        try:
            return [(run_id, sequence) for run_id, sequence in await connection.fetch(_HELD, replica_id, timeout=2)]
        finally:
            await connection.close()

    def times_s(self, logs: Mapping[str, Sequence[v1.RunEvent]], *, well: bool = False) -> list[float]:
        """From each kill to the first event behind it of each run that it met, shortest first. `well`: only where some
        other replica was well all that time."""
        return sorted(
            moved_s - each.killed_at_s
            for each, moved_s in self._moved(logs)
            if not well or self._one_was_well(each.killed_at_s, moved_s)
        )

    def _one_was_well(self, from_s: float, until_s: float) -> bool:
        return any(
            all(until_s < begun_s or end_s < from_s for begun_s, end_s in self.unwell[name]) for name in self._replicas
        )

    def _moved(self, logs: Mapping[str, Sequence[v1.RunEvent]]) -> Iterator[tuple[Interrupted, float]]:
        for each in self.interrupted:
            for event in logs.get(each.run_id, ())[each.last_sequence : each.last_sequence + 1]:
                yield each, event.event_time.ToNanoseconds() / 1e9


def told(times_s: Sequence[float]) -> str:
    if not times_s:
        return "no run"
    return f"{len(times_s)} runs, p50 {median(times_s):.1f} s, longest {times_s[-1]:.1f} s"
