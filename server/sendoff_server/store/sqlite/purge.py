"""Deleting runs whose time is over, in bites. In the writer thread.

A run goes as `deletes.delete_run` has it, at once but for its log, which may be large; nobody finds the log any more.
"""

from __future__ import annotations

import sqlite3

from sendoff_server.store.batch.purge import PUT_OFF_NS, DuePurge
from sendoff_server.store.questions import Purged
from sendoff_server.store.sqlite.connection import transaction
from sendoff_server.store.sqlite.deletes import empty_run
from sendoff_server.store.sqlite.leases import check_alive
from sendoff_server.store.sqlite.queries import named


def purge(connection: sqlite3.Connection, replica_no: int, now_ns: int, limit: int, most_entries: int) -> Purged:
    with transaction(connection):
        check_alive(connection, replica_no)
        due = [DuePurge(*row) for row in connection.execute(named("due_purges"), (now_ns, limit))]
        gone: list[str] = []
        entries = 0
        for each in due:
            if entries == most_entries:
                break
            if not each.can_go:
                connection.execute(named("put_off_purge"), (each.run_no, now_ns + PUT_OFF_NS))
                continue
            if not each.is_deleted:
                connection.execute(named("free_keys"), (each.run_no,))
                empty_run(connection, each.run_no, each.lane_no)
                gone.append(each.run_id)
            entries += _empty_log(connection, each.run_no, most_entries - entries)
        return Purged(gone, entries, is_done=len(due) < limit and entries < most_entries)


def _empty_log(connection: sqlite3.Connection, run_no: int, most: int) -> int:
    """How many entries are gone; if there were fewer than `most`, nothing is left to be done about the run."""
    entries = connection.execute(named("empty_some_log"), (run_no, most)).rowcount
    if entries < most:
        connection.execute(named("forget_purge"), (run_no,))
    return entries
