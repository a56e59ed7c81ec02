"""Who is handed which lanes. `claim` is one transaction; its time is the database's."""

from __future__ import annotations

from collections.abc import Sequence

from sendoff import v1
from sendoff_server.clock import SECOND_NS
from sendoff_server.store.batch.dispatch import AGENTS_AT_ONCE, BARRED_AT_ONCE, Candidate, Claimed, Dispatch, Gate
from sendoff_server.store.batch.shares import BEFORE_ALL, DUE_AT_ONCE, Share
from sendoff_server.store.batch.snapshot import read_cancel
from sendoff_server.store.items import Claim
from sendoff_server.store.port import Fenced
from sendoff_server.store.postgres.connection import Connection
from sendoff_server.store.postgres.pauses import KnownPauses
from sendoff_server.store.postgres.queries import columns_of, named

_LOCK = 0x63_6C_61_69_6D_73
"""Of all advisory locks of a database the one of claims under caps, of which one counts after the other."""


async def claim(connection: Connection, replica_no: int, dispatch: Dispatch, known: KnownPauses, limit: int) -> Claimed:
    """Serve the shares behind the last one that was."""
    async with connection.transaction():
        number = await connection.fetchval(named("fence_and_pauses"), replica_no)
        if number is None:
            raise Fenced("this replica was declared dead")
        pauses = await known.at(connection, number)
        gate = Gate(pauses, dispatch.caps, await _leases(connection) if dispatch.caps.any else ())
        await connection.execute(named("due_lanes"), DUE_AT_ONCE)
        await _look_at_capped(connection, dispatch, gate)
        lane_nos: list[int] = []
        is_done = False
        while len(gate.barred) < BARRED_AT_ONCE and not is_done:
            taken = await _take(connection, replica_no, dispatch, gate, limit - len(lane_nos))
            lane_nos += [lane.no for lane in taken or ()]
            is_done = taken is None
        rows = await connection.fetch(named("heads"), lane_nos) if lane_nos else []
    return Claimed([_claim(*row) for row in rows], is_done, list(pauses.lifted))


async def _leases(connection: Connection) -> list[tuple[str, int, int]]:
    """How many there are, by tenant and agent; nobody takes others before the end of the transaction."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    return [(tenant, agent_no, count) for tenant, agent_no, count in await connection.fetch(named("leases"))]


async def _look_at_capped(connection: Connection, dispatch: Dispatch, gate: Gate) -> None:
    """Some of the agents whose lanes are barred by their caps, in turn: whoever is below it gets lanes free."""
    if not dispatch.caps.per_agent:
        return
    agents = [no for (no,) in await connection.fetch(named("barred_agents"), dispatch.looked_at, AGENTS_AT_ONCE)]
    dispatch.looked_at = agents[-1] if len(agents) == AGENTS_AT_ONCE else 0
    await free_lanes(connection, [(agent_no, room) for agent_no in agents if (room := gate.room_of(agent_no))])


async def free_lanes(connection: Connection, rooms: Sequence[tuple[int, int]]) -> None:
    """Of each of these agents so many lanes that are barred by its cap may be looked at again."""
    if rooms:
        await connection.execute(named("free_lanes_of_agents"), *columns_of(rooms))


async def forget_caps(connection: Connection, most: int) -> bool:
    """Free some of the lanes that caps have barred; whether there may be more. For who knows of no cap."""
    return len(await connection.fetch(named("free_capped_lanes"), most)) == most


async def _take(
    connection: Connection, replica_no: int, dispatch: Dispatch, gate: Gate, room: int
) -> list[Candidate] | None:
    """None: there is no room, or nothing more to look at that other replicas are not at."""
    shares = await _waiting_shares(connection, dispatch, gate, room)
    if not shares:
        return None
    barred = len(gate.barred)
    waiting = await _waiting_lanes(connection, shares, gate.depths(dispatch.wheel, shares, room))
    if not any(waiting):
        return None
    taken = dispatch.wheel.serve(shares, waiting, room, gate.may_take)
    if taken:
        await connection.execute(named("take_lanes"), replica_no, [lane.no for lane in taken])
    if gate.barred[barred:]:
        await connection.execute(named("bar_lanes"), *columns_of(gate.barred[barred:]))
    return taken


async def _waiting_shares(connection: Connection, dispatch: Dispatch, gate: Gate, room: int) -> list[Share]:
    """Each once, beginning again in front once the end is reached."""
    most, behind = dispatch.wheel.enough(room), dispatch.wheel.behind
    if most == 0:
        return []
    shares = await _shares_behind(connection, behind, most, gate.full_tenants)
    if len(shares) < most and behind != BEFORE_ALL:
        again = await _shares_behind(connection, BEFORE_ALL, most - len(shares), gate.full_tenants)
        shares += [each for each in again if each <= behind]
    return shares


async def _shares_behind(connection: Connection, behind: Share, most: int, but_of: Sequence[str]) -> list[Share]:
    rows = await connection.fetch(named("waiting_shares"), *behind, most, but_of)
    return [(tenant, share) for tenant, share in rows]


async def _waiting_lanes(
    connection: Connection, shares: Sequence[Share], depths: Sequence[int]
) -> list[list[Candidate]]:
    """The first lanes of each."""
    waiting: list[list[Candidate]] = [[] for _ in shares]
    wanted = [(*share, depth) for share, depth in zip(shares, depths, strict=True)]
    for place, *lane in await connection.fetch(named("waiting_lanes"), *columns_of(wanted)):
        waiting[place - 1].append(Candidate(*lane))
    return waiting


def _claim(
    lane_id: str,
    paused_by: str | None,
    tenant: str,
    seq: int,
    reason: bytes | None,
    kind: int,
    run: bytes,
    request: bytes,
) -> Claim:
    return Claim(
        tenant=tenant,
        lane=lane_id,
        seq=seq,
        run=v1.Run.FromString(run),
        request=request,
        cancel_wanted=read_cancel(reason.decode() if reason is not None else None, kind),
        paused_by=paused_by or "",
    )


async def next_start_s(connection: Connection) -> float | None:
    left_ns: int | None = await connection.fetchval(named("next_start"))
    return None if left_ns is None else left_ns / SECOND_NS
