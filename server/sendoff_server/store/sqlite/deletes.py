"""Deleting lanes with everything that belongs to them. In the writer thread, inside a transaction."""

from __future__ import annotations

import sqlite3

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
    "delete_runs",
    "delete_inherited_messages",
    "delete_inherited",
    "delete_conversations",
    "delete_lanes",
)
"""Leaves first: the later ones are how the earlier ones find what belongs to the lanes. Inherited messages go once the
runs are gone, because a run of these lanes does not keep them."""


def delete_lanes(connection: sqlite3.Connection, lanes: str, no: int) -> int:
    """Delete the lanes, ONE_LANE by its number or LANES_OF_AGENT by the agent's, if they have no open runs; how many
    open runs there are."""
    open_runs: int = connection.execute(named("open_runs", lanes=lanes), (no,)).fetchone()[0]
    if not open_runs:
        for name in _DELETES:
            connection.execute(named(name, lanes=lanes), (no,))
    return open_runs
