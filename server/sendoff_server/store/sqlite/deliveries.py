"""The outbox, as it is handed out: due rows found in a reader thread, taken in the writer thread."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence

from sendoff import v1
from sendoff_server.store.questions import Delivery
from sendoff_server.store.sqlite.connection import transaction
from sendoff_server.store.sqlite.leases import check_alive
from sendoff_server.store.sqlite.queries import named
from sendoff_server.store.sqlite.snapshot import encode_list


def due(
    connection: sqlite3.Connection, now_ns: int, limit: int, per_receiver: int, room: Mapping[str, int]
) -> Sequence[int]:
    """Numbers of deliveries that could be taken."""
    (found,) = connection.execute(named("due_deliveries"), (now_ns, per_receiver)).fetchone()
    chosen: list[int] = []
    count: Counter[str] = Counter()
    for no, receiver in json.loads(found):
        if count[receiver] < room.get(receiver, per_receiver) and len(chosen) < limit:
            count[receiver] += 1
            chosen.append(no)
    return chosen


def take(connection: sqlite3.Connection, replica_no: int, numbers: Sequence[int], now_ns: int) -> list[Delivery]:
    """Take those that nobody has taken meanwhile."""
    with transaction(connection):
        check_alive(connection, replica_no)
        taken = connection.execute(named("take_deliveries"), (replica_no, encode_list(numbers), now_ns)).fetchall()
        rows = connection.execute(named("deliveries"), (encode_list(no for (no,) in taken),)).fetchall()
    return [_delivery(*row) for row in rows]


def _delivery(
    delivery_id: str, tenant: str, kind: str, run: bytes, url: str, receiver: str, create_ns: int, attempts: int
) -> Delivery:
    return Delivery(
        id=delivery_id,
        tenant=tenant,
        kind=kind,
        run=v1.Run.FromString(run),
        url=url,
        receiver=receiver,
        create_ns=create_ns,
        attempts=attempts,
    )


def count_open(connection: sqlite3.Connection) -> int:
    count: int = connection.execute(named("open_deliveries")).fetchone()[0]
    return count
