"""Deleting lanes with everything that belongs to them, and runs without what is part of their conversation. In the
writer thread.

A deleted run leaves an empty row: under another id, so that nobody finds it, with an ended status that no run has. By
it the messages of the run keep their places, forks go on finding them, and keys stay taken.
"""

from __future__ import annotations

import sqlite3

from sendoff_server.store.batch.mentions import OPEN
from sendoff_server.store.items import LeftOut
from sendoff_server.store.port import INPUT_PLACE
from sendoff_server.store.questions import RunDeletion
from sendoff_server.store.sqlite.connection import transaction
from sendoff_server.store.sqlite.leases import check_alive
from sendoff_server.store.sqlite.queries import named

ONE_LANE = "?1"
LANES_OF_AGENT = "SELECT no FROM lane WHERE agent_no = ?1"

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


def delete_lanes(connection: sqlite3.Connection, lanes: str, no: int) -> int:
    """Inside a transaction, delete the lanes, ONE_LANE by its number or LANES_OF_AGENT by the agent's, if they have no
    open runs; how many open runs there are."""
    open_runs: int = connection.execute(named("open_runs", lanes=lanes), (no,)).fetchone()[0]
    if not open_runs:
        for name in _DELETES:
            connection.execute(named(name, lanes=lanes), (no,))
    return open_runs


def delete_run(connection: sqlite3.Connection, replica_no: int, tenant: str, run_id: str) -> RunDeletion:
    with transaction(connection):
        check_alive(connection, replica_no)
        found = connection.execute(named("run_to_delete"), (tenant, run_id)).fetchone()
        if found is None:
            return RunDeletion.MISSING
        no, status, lane_no, awaited = found
        if status in OPEN:
            return RunDeletion.UNFINISHED
        if awaited:
            return RunDeletion.AWAITED
        empty_run(connection, no, lane_no)
        for name in ("empty_log", "forget_purge"):
            connection.execute(named(name), (no,))
        return RunDeletion.DELETED


def empty_run(connection: sqlite3.Connection, no: int, lane_no: int) -> None:
    """Inside a transaction, make an ended run one that is not found any more, and delete all that is its alone but for
    its log and its keys."""
    hidden = (no, INPUT_PLACE, LeftOut.CONVERSATION.value)
    connection.execute(named("delete_what_only_the_run_lists"), hidden)
    for name in ("forget_actions", "forget_action_set"):
        connection.execute(named(name), (no, lane_no))
    for name in ("empty_steps", "empty_outbox", "empty_run"):
        connection.execute(named(name), (no,))
