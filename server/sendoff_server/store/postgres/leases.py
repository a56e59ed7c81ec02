"""Replicas and the leases that they hold. Each function is one transaction; all times are the database's."""

from __future__ import annotations

from collections.abc import Sequence

from sendoff import v1
from sendoff_server.store.batch.shares import BEFORE_ALL, DUE_AT_ONCE, depth_of
from sendoff_server.store.batch.snapshot import read_cancel
from sendoff_server.store.items import Claim
from sendoff_server.store.port import Fenced
from sendoff_server.store.postgres.connection import Connection, fenced
from sendoff_server.store.postgres.queries import named


async def register(connection: Connection, replica_id: str, slots: int | None) -> int:
    """Write this replica's row and return its number."""
    no: int = await connection.fetchval(named("register"), replica_id, slots)
    return no


async def beat(connection: Connection, replica_no: int, timeout_s: float) -> None:
    if await connection.fetchval(named("beat"), replica_no, timeout=timeout_s) is None:
        raise Fenced("this replica was declared dead")


async def reap(connection: Connection, replica_no: int, lease_s: float) -> int:
    async with fenced(connection, replica_no):
        rows = await connection.fetch(named("remove_silent_replicas"), replica_no, lease_s)
        await _free(connection, [no for (no,) in rows])
        return len(rows)


async def leave(connection: Connection, replica_no: int) -> None:
    """Give all leases back and take this replica's row away. Does no harm to one that was declared dead."""
    async with connection.transaction():
        await connection.execute(named("remove_replica"), replica_no)
        await _free(connection, [replica_no])


async def _free(connection: Connection, replica_nos: Sequence[int]) -> None:
    """Their rows are gone, so that none of them takes a further lane."""
    if replica_nos:
        await connection.execute(named("lock_lanes_of_replicas"), replica_nos)
        await connection.execute(named("free_lanes"), replica_nos)
        await connection.execute(named("free_deliveries"), replica_nos)


async def claim(connection: Connection, replica_no: int, behind: int, limit: int) -> tuple[list[Claim], int]:
    """Serve the shares behind that one; and the share that was served last."""
    lane_nos: list[int] = []
    async with fenced(connection, replica_no):
        await connection.execute(named("due_lanes"), DUE_AT_ONCE)
        while shares := await _waiting_shares(connection, behind, limit - len(lane_nos)):
            room = limit - len(lane_nos)
            taken = await connection.fetch(named("take_lanes"), replica_no, shares, depth_of(room, shares), room)
            if not taken:
                break  # other replicas are at all of them
            behind = shares[taken[-1]["place"] - 1]
            lane_nos += [no for no, _ in taken]
        rows = await connection.fetch(named("heads"), lane_nos) if lane_nos else []
    return [_claim(*row) for row in rows], behind


async def _waiting_shares(connection: Connection, behind: int, most: int) -> list[int]:
    """Each once, beginning again in front once the end is reached."""
    if most == 0:
        return []
    shares = await _shares_behind(connection, behind, most)
    if len(shares) < most and behind != BEFORE_ALL:
        shares += [each for each in await _shares_behind(connection, BEFORE_ALL, most - len(shares)) if each <= behind]
    return shares


async def _shares_behind(connection: Connection, behind: int, most: int) -> list[int]:
    return [share for (share,) in await connection.fetch(named("waiting_shares"), behind, most)]


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
