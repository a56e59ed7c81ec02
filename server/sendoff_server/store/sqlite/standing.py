"""Where runs stand in their queues, in a reader thread; each function reads one snapshot."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from sendoff import v1
from sendoff_server.store.batch.dispatch import Caps
from sendoff_server.store.batch.shares import BEFORE_ALL
from sendoff_server.store.questions import Queued
from sendoff_server.store.sqlite.connection import snapshot
from sendoff_server.store.sqlite.queries import named
from sendoff_server.store.sqlite.reads import queued
from sendoff_server.store.sqlite.snapshot import encode_list
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


def of_run(connection: sqlite3.Connection, tenant: str, run_id: str, caps: Caps, now_ns: int) -> Standing | None:
    with snapshot(connection):
        row = connection.execute(named("standing"), (tenant, run_id)).fetchone()
        if row is None:
            return None
        body, lane_no, agent_no, seq, share, priority, ready_ns, start_before_ns, owner, waits = row
        in_front = [
            v1.Run.FromString(each) for (each,) in connection.execute(named("in_front"), (lane_no, seq, MOST_TOLD))
        ]
        replicas = _replicas(connection)
        own = queued(connection, run_id, caps)
        head = queued(connection, in_front[0].id, caps) if in_front else own
        return Standing(
            now_ns=now_ns,
            run=v1.Run.FromString(body),
            queued=own,
            in_front=in_front,
            head=head,
            awaited=_awaited(connection, head),
            priority=priority,
            start_before_ns=start_before_ns,
            holder=replicas.get(owner),
            place=_place(connection, tenant, share, priority, ready_ns) if waits and wants_slot(head) else None,
            at_work=_at_work(connection, tenant, agent_no, head) if waits else (),
            replicas=list(replicas.values()),
        )


def _awaited(connection: sqlite3.Connection, queued: Queued | None) -> Sequence[v1.PendingAction]:
    if queued is None or not queued.paused_by:
        return ()
    (body,) = connection.execute(named("run_body"), (queued.paused_by,)).fetchone()
    return v1.Run.FromString(body).pending_actions


def _place(connection: sqlite3.Connection, tenant: str, share: int, priority: int, ready_ns: int) -> SlotPlace:
    rank = ready_ns + priority * 60_000_000_000
    (ahead,) = connection.execute(named("lanes_ahead"), (tenant, share, rank, MOST_COUNTED)).fetchone()
    of_none = encode_list([])
    (shares,) = connection.execute(named("waiting_shares"), (*BEFORE_ALL, MOST_COUNTED, of_none)).fetchone()
    return SlotPlace(ready_ns=ready_ns, ahead=ahead, shares=len(json.loads(shares)))


def _at_work(connection: sqlite3.Connection, tenant: str, agent_no: int, head: Queued | None) -> Sequence[str]:
    if head is None or head.pause is not None:
        return ()
    values = (tenant, agent_no if is_agent_at_cap(head) else None, MOST_TOLD)
    return [run_id for (run_id,) in connection.execute(named("slot_holders"), values)]


def _replicas(connection: sqlite3.Connection) -> dict[int, ReplicaSeen]:
    return {no: ReplicaSeen(*told) for no, *told in connection.execute(named("replicas"), (MOST_COUNTED,))}


def count(connection: sqlite3.Connection, tenant: str, shares: Sequence[int], caps: Caps, now_ns: int) -> QueueCount:
    wanted = encode_list(shares) if shares else None
    bounds = (MOST_RUNS, MOST_GROUPS + 1, now_ns, caps.per_agent, caps.of_tenant(tenant))
    with snapshot(connection):
        rows: list[Sequence[Any]] = connection.execute(named("count_queue"), (tenant, wanted, *bounds)).fetchall()
        (runs,) = connection.execute(named("count_open"), (tenant, MOST_RUNS + 1)).fetchone()
        replicas = _replicas(connection)
        pauses = connection.execute(named("list_dispatch_pauses"), (tenant,)).fetchall()
    return QueueCount(
        now_ns,
        [QueueGroup(v1.Run.FromString(body), *told) for body, _, *told, _ in rows[:MOST_GROUPS]],
        len(rows) <= MOST_GROUPS and runs <= MOST_RUNS,
        list(replicas.values()),
        [v1.DispatchPause.FromString(body) for (body,) in pauses],
        caps.per_agent,
        caps.of_tenant(tenant),
    )


def depths(connection: sqlite3.Connection, tenants: Sequence[str], now_ns: int) -> list[QueueDepth]:
    rows = connection.execute(named("queue_depths"), (encode_list(tenants), now_ns))
    return [QueueDepth(*told) for told in rows]


def count_open(connection: sqlite3.Connection, tenant: str, most: int) -> int:
    (runs,) = connection.execute(named("count_open"), (tenant, most)).fetchone()
    return int(runs)


def stored(connection: sqlite3.Connection, tenant: str, after_ns: int) -> Stored:
    return Stored(*connection.execute(named("stored"), (tenant, after_ns)).fetchone())


def waits(connection: sqlite3.Connection, tenant: str) -> list[SlotWait]:
    rows = connection.execute(named("first_steps"), (tenant, NEWEST_STEPS))
    told = (slot_wait(v1.Run.FromString(run), start_ns, _run(before)) for run, start_ns, before in rows)
    return [each for each in told if each is not None]


def _run(body: bytes | None) -> v1.Run | None:
    return None if body is None else v1.Run.FromString(body)
