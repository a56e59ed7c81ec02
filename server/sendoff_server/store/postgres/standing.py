"""Where runs stand in their queues; each function reads one snapshot, and all times are the database's."""

from __future__ import annotations

from collections.abc import Sequence

from sendoff import v1
from sendoff_server.store.batch.dispatch import Caps
from sendoff_server.store.batch.shares import BEFORE_ALL
from sendoff_server.store.postgres.connection import Connection, snapshot
from sendoff_server.store.postgres.queries import named
from sendoff_server.store.postgres.reads import queued
from sendoff_server.store.questions import Queued
from sendoff_server.store.standing import (
    MOST_COUNTED,
    MOST_GROUPS,
    MOST_RUNS,
    MOST_TOLD,
    NEWEST_STEPS,
    QueueCount,
    QueueDepth,
    QueueGroup,
    ReplicaSeen,
    SlotPlace,
    SlotWait,
    Standing,
    Stored,
    is_agent_at_cap,
    slot_wait,
    wants_slot,
)


async def of_run(connection: Connection, tenant: str, run_id: str, caps: Caps) -> Standing | None:
    async with snapshot(connection):
        row = await connection.fetchrow(named("standing"), tenant, run_id)
        if row is None:
            return None
        now_ns, body, lane_no, agent_no, seq, share, priority, ready_ns, start_before_ns, owner, waits = row
        in_front = [
            v1.Run.FromString(each) for (each,) in await connection.fetch(named("in_front"), lane_no, seq, MOST_TOLD)
        ]
        replicas = await _replicas(connection)
        own = await queued(connection, run_id, caps)
        head = await queued(connection, in_front[0].id, caps) if in_front else own
        return Standing(
            now_ns=now_ns,
            run=v1.Run.FromString(body),
            queued=own,
            in_front=in_front,
            head=head,
            awaited=await _awaited(connection, head),
            priority=priority,
            start_before_ns=start_before_ns,
            holder=replicas.get(owner),
            place=await _place(connection, tenant, share, priority, ready_ns) if waits and wants_slot(head) else None,
            at_work=await _at_work(connection, tenant, agent_no, head) if waits else (),
            replicas=list(replicas.values()),
        )


async def _awaited(connection: Connection, queued: Queued | None) -> Sequence[v1.PendingAction]:
    if queued is None or not queued.paused_by:
        return ()
    body: bytes = await connection.fetchval(named("run_body"), queued.paused_by)
    return v1.Run.FromString(body).pending_actions


async def _place(connection: Connection, tenant: str, share: int, priority: int, ready_ns: int) -> SlotPlace:
    rank = ready_ns + priority * 60_000_000_000
    return SlotPlace(
        ready_ns=ready_ns,
        ahead=await connection.fetchval(named("lanes_ahead"), tenant, share, rank, MOST_COUNTED),
        shares=len(await connection.fetch(named("waiting_shares"), *BEFORE_ALL, MOST_COUNTED, [])),
    )


async def _at_work(connection: Connection, tenant: str, agent_no: int, head: Queued | None) -> Sequence[str]:
    if head is None or head.pause is not None:
        return ()
    of_agent = agent_no if is_agent_at_cap(head) else None
    return [run_id for (run_id,) in await connection.fetch(named("slot_holders"), tenant, of_agent, MOST_TOLD)]


async def _replicas(connection: Connection) -> dict[int, ReplicaSeen]:
    return {no: ReplicaSeen(*told) for no, *told in await connection.fetch(named("replicas"), MOST_COUNTED)}


async def count(connection: Connection, tenant: str, shares: Sequence[int], caps: Caps) -> QueueCount:
    async with snapshot(connection):
        now_ns = await connection.fetchval(named("now_ns"))
        bounds = (MOST_RUNS, MOST_GROUPS + 1, now_ns, caps.per_agent, caps.of_tenant(tenant))
        rows = await connection.fetch(named("count_queue"), tenant, list(shares) or None, *bounds)
        runs = await connection.fetchval(named("count_open"), tenant, MOST_RUNS + 1)
        replicas = await _replicas(connection)
        pauses = await connection.fetch(named("list_dispatch_pauses"), tenant)
    return QueueCount(
        now_ns,
        [QueueGroup(v1.Run.FromString(body), *told) for body, _, *told, _ in rows[:MOST_GROUPS]],
        len(rows) <= MOST_GROUPS and runs <= MOST_RUNS,
        list(replicas.values()),
        [v1.DispatchPause.FromString(body) for (body,) in pauses],
        caps.per_agent,
        caps.of_tenant(tenant),
    )


async def depths(connection: Connection, tenants: Sequence[str]) -> list[QueueDepth]:
    now_ns = await connection.fetchval(named("now_ns"))
    rows = await connection.fetch(named("queue_depths"), list(tenants), now_ns)
    return [QueueDepth(*told) for told in rows]


async def count_open(connection: Connection, tenant: str, most: int) -> int:
    runs: int = await connection.fetchval(named("count_open"), tenant, most)
    return runs


async def stored(connection: Connection, tenant: str, after_ns: int) -> Stored:
    (row,) = await connection.fetch(named("stored"), tenant, after_ns)
    return Stored(*row)


async def waits(connection: Connection, tenant: str) -> list[SlotWait]:
    rows = await connection.fetch(named("first_steps"), tenant, NEWEST_STEPS)
    told = (slot_wait(v1.Run.FromString(run), start_ns, _run(before)) for run, start_ns, before in rows)
    return [each for each in told if each is not None]


def _run(body: bytes | None) -> v1.Run | None:
    return None if body is None else v1.Run.FromString(body)
