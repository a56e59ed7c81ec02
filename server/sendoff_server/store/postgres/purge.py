"""Deleting runs whose time is over, in bites.

A run goes as `deletes.delete_run` has it, at once but for its log, which may be large; nobody finds the log any more.
"""

from __future__ import annotations

from collections.abc import Sequence

from sendoff_server.store.batch.purge import PUT_OFF_NS, DuePurge
from sendoff_server.store.items import LeftOut
from sendoff_server.store.port import INPUT_PLACE
from sendoff_server.store.postgres.connection import Connection, fenced
from sendoff_server.store.postgres.queries import named
from sendoff_server.store.questions import Purged


async def purge(connection: Connection, replica_no: int, now_ns: int, limit: int, most_entries: int) -> Purged:
    """Passes over runs of lanes that somebody else is at: replicas that purge at a time do not wait for each other."""
    async with fenced(connection, replica_no):
        lanes = {no for (no,) in await connection.fetch(named("lock_lanes_to_purge"), now_ns, limit)}
        due = [DuePurge(*row) for row in await connection.fetch(named("due_purges"), now_ns, limit)]
        here = [each for each in due if each.lane_no in lanes]
        stay = [each.run_no for each in here if not each.can_go]
        going = [each for each in here if each.can_go]
        await connection.execute(named("put_off_purges"), stay, now_ns + PUT_OFF_NS)
        await _empty_runs(connection, [each for each in going if not each.is_deleted])
        numbers = [each.run_no for each in going]
        entries = int(await connection.fetchval(named("empty_some_logs"), numbers, most_entries))
        await connection.execute(named("forget_purges"), numbers)
    gone = [each.run_id for each in going if not each.is_deleted]
    return Purged(gone, entries, is_done=len(due) < limit and entries < most_entries)


async def _empty_runs(connection: Connection, going: Sequence[DuePurge]) -> None:
    """Make them runs that are not found any more, and delete all that is theirs alone but for their logs."""
    numbers = [each.run_no for each in going]
    lanes = list({each.lane_no for each in going})
    await connection.execute(named("delete_what_only_runs_list"), numbers, INPUT_PLACE, LeftOut.CONVERSATION.value)
    for name in ("forget_actions_of", "forget_action_sets"):
        await connection.execute(named(name), numbers, lanes)
    for name in ("free_keys", "empty_steps_of", "empty_outbox_of", "empty_runs"):
        await connection.execute(named(name), numbers)
