"""Deliveries, as they are told, in a reader thread; and had tried again, in the writer thread."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import timestamp
from sendoff_server.store.batch.outbox import MOST_ATTEMPTS
from sendoff_server.store.batch.told_deliveries import STATUSES, told_delivery
from sendoff_server.store.questions import DeliveryQuery, ListedDelivery
from sendoff_server.store.sqlite.conditions import Condition, joined, one_of
from sendoff_server.store.sqlite.connection import transaction
from sendoff_server.store.sqlite.leases import check_alive
from sendoff_server.store.sqlite.queries import named
from sendoff_server.store.sqlite.snapshot import encode_list

_PAGE_BYTES = 4 * 1024 * 1024
_LAST_PLACE = (1 << 63) - 1


# ---- told ----


def read(connection: sqlite3.Connection, tenant: str, delivery_id: str) -> v1.Delivery | None:
    found = connection.execute(named("delivery_number"), (tenant, delivery_id)).fetchone()
    return _told(connection, found)[0].delivery if found is not None else None


def read_page(connection: sqlite3.Connection, query: DeliveryQuery) -> list[ListedDelivery]:
    statement, values = _page(query)
    return _told(connection, [no for (no,) in connection.execute(statement, values)])


def _page(query: DeliveryQuery) -> tuple[str, Sequence[object]]:
    """A run has few of them. Else there is an index by status, in which each status has its own order: the page is put
    together of a page of each."""
    if query.run_id is not None:
        parts = [_part(_of_run(query))]
    else:
        parts = [_part(_of_status(query, status)) for status in dict.fromkeys(query.statuses or STATUSES)]
    limited = [(f"SELECT no FROM ({text} LIMIT ?)", (*values, query.limit)) for text, values in parts]  # noqa: S608
    statement = " UNION ALL ".join(text for text, _ in limited) + " ORDER BY no DESC LIMIT ?"
    return statement, [*(value for _, values in limited for value in values), query.limit]


def _part(conditions: Sequence[Condition]) -> Condition:
    # Only fixed texts go into the statement, values are bound.
    text, values = joined(conditions)
    return f"SELECT d.no AS no FROM delivery d WHERE {text} ORDER BY d.no DESC", values  # noqa: S608


def _of_run(query: DeliveryQuery) -> list[Condition]:
    # The plus keeps SQLite from walking all deliveries of the tenant.
    asked: list[Condition] = [
        ("d.run_no = (SELECT no FROM run WHERE id = ?)", (query.run_id,)),
        ("+d.tenant = ?", (query.tenant,)),
        ("d.no < ?", (_before(query),)),
    ]
    if query.endpoint_id is not None:
        asked.append(("+d.endpoint_no = (SELECT no FROM endpoint WHERE id = ?)", (query.endpoint_id,)))
    if query.statuses:
        asked.append(one_of("+d.status", query.statuses))
    return asked


def _of_status(query: DeliveryQuery, status: int) -> list[Condition]:
    asked: list[Condition] = [("d.status = ?", (status,)), ("d.no < ?", (_before(query),))]
    if query.endpoint_id is None:
        return [("d.tenant = ?", (query.tenant,)), *asked]
    endpoint = "d.endpoint_no = (SELECT no FROM endpoint WHERE id = ? AND tenant = ?)"
    return [(endpoint, (query.endpoint_id, query.tenant)), *asked]


def _before(query: DeliveryQuery) -> int:
    return _LAST_PLACE if query.before is None else query.before


def _told(connection: sqlite3.Connection, numbers: Sequence[int]) -> list[ListedDelivery]:
    """Newest first. With the last attempts; with the last one of each, where all would be too much."""
    wanted = encode_list(numbers)
    (size,) = connection.execute(named("bytes_of_attempts"), (wanted,)).fetchone()
    attempts: dict[int, list[v1.DeliveryAttempt]] = {no: [] for no in numbers}
    for no, body in connection.execute(named("attempts"), (wanted, MOST_ATTEMPTS if size <= _PAGE_BYTES else 1)):
        attempts[no].append(v1.DeliveryAttempt.FromString(body))
    rows = connection.execute(named("told_deliveries"), (wanted,)).fetchall()
    return [ListedDelivery(told_delivery(attempts[no], *row), no) for no, *row in rows]


# ---- tried again ----


def redeliver(
    connection: sqlite3.Connection, replica_no: int, tenant: str, delivery_ids: Sequence[str], now_ns: int
) -> int:
    with transaction(connection):
        check_alive(connection, replica_no)
        (numbers,) = connection.execute(named("deliveries_of_ids"), (tenant, encode_list(delivery_ids))).fetchone()
        return _again(connection, numbers, now_ns)


def redeliver_some(
    connection: sqlite3.Connection,
    replica_no: int,
    tenant: str,
    endpoint_id: str,
    *,
    since_ns: int,
    now_ns: int,
    behind: int,
    most: int,
) -> tuple[int, int | None]:
    """A bite of dead letters behind that number: how many are tried again, and the last number if there may be more."""
    with transaction(connection):
        check_alive(connection, replica_no)
        asked = (tenant, endpoint_id, since_ns, behind, most)
        (text,) = connection.execute(named("missed_deliveries"), asked).fetchone()
        numbers: list[int] = json.loads(text)
        count = _again(connection, text, now_ns)
        return count, numbers[-1] if len(numbers) == most else None


def _again(connection: sqlite3.Connection, numbers: str, now_ns: int) -> int:
    changed = [no for (no,) in connection.execute(named("redeliver"), (numbers, now_ns)).fetchall()]
    connection.execute(named("put_in_order"), (numbers,))
    for run_no, body in connection.execute(named("runs_called_back"), (encode_list(changed),)).fetchall():
        run = v1.Run.FromString(body)
        run.etag, run.callback.dead_lettered = ids.etag(), False
        run.callback.next_attempt_time.CopyFrom(timestamp(now_ns))
        connection.execute(named("write_run_body"), (run_no, run.SerializeToString()))
    return len(changed)
