"""Deleting lanes with everything that belongs to them, and runs without what is part of their conversation.

A deleted run leaves an empty row: under another id, so that nobody finds it, with an ended status that no run has. By
it the messages of the run keep their places, forks go on finding them, and keys stay taken.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sendoff_server.store.batch.mentions import OPEN
from sendoff_server.store.items import LeftOut
from sendoff_server.store.port import INPUT_PLACE
from sendoff_server.store.postgres.connection import Connection, check_fence, fenced
from sendoff_server.store.postgres.queries import named
from sendoff_server.store.questions import RunDeletion

ONE_LANE = "$1::bigint"
LANES_OF_AGENT = "SELECT no FROM lane WHERE agent_no = $1::bigint"

_DELETES = (
    "delete_keys",
    "delete_log",
    "delete_steps",
    "delete_messages",
    "delete_left_out",
    "delete_actions",
    "delete_action_sets",
    "delete_deliveries",
    "delete_purges",
    "delete_runs",
    "delete_inherited_messages",
    "delete_inherited",
    "delete_conversations",
    "delete_lanes",
)
"""Leaves first: the later ones are how the earlier ones find what belongs to the lanes. Inherited messages go once the
runs are gone, because a run of these lanes does not keep them."""


PATIENCE_S = 600
"""What belongs to an agent can be millions of rows. A statement that deletes them may take longer than others do."""


@asynccontextmanager
async def deleting(connection: Connection, replica_no: int) -> AsyncIterator[None]:
    """A transaction that may take minutes. Raises Fenced, in the end: the replica's row, held all the time, would keep
    others from declaring the replica dead."""
    async with connection.transaction():
        await connection.execute(f"SET LOCAL statement_timeout = '{PATIENCE_S}s'")
        yield
        await check_fence(connection, replica_no)


async def delete_lanes(connection: Connection, lanes: str, no: int) -> int:
    """Inside a transaction, delete the lanes, ONE_LANE by its number or LANES_OF_AGENT by the agent's, if they have no
    open runs; how many open runs there are. From now on nobody else is at these lanes."""
    await connection.execute(named("lock_lanes", lanes=lanes), no)
    open_runs = int(await connection.fetchval(named("open_runs", lanes=lanes), no))
    if not open_runs:
        for name in _DELETES:
            await connection.execute(named(name, lanes=lanes), no, timeout=PATIENCE_S)
    return open_runs


async def delete_run(connection: Connection, replica_no: int, tenant: str, run_id: str) -> RunDeletion:
    async with fenced(connection, replica_no):
        await connection.execute(named("lock_lane_of_run"), tenant, run_id)
        found = await connection.fetchrow(named("run_to_delete"), tenant, run_id)
        if found is None:
            return RunDeletion.MISSING
        no, status, lane_no, awaited = found
        if status in OPEN:
            return RunDeletion.UNFINISHED
        if awaited:
            return RunDeletion.AWAITED
        hidden = (no, INPUT_PLACE, LeftOut.CONVERSATION.value)
        await connection.execute(named("delete_what_only_the_run_lists"), *hidden)
        for name in ("forget_actions", "forget_action_set"):
            await connection.execute(named(name), no, lane_no)
        for name in ("empty_log", "empty_steps", "empty_outbox", "empty_run", "forget_purge"):
            await connection.execute(named(name), no)
        return RunDeletion.DELETED
