"""Deliveries, as they are told, and had tried again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import timestamp
from sendoff_server.store.batch.outbox import MOST_ATTEMPTS
from sendoff_server.store.batch.told_deliveries import STATUSES, told_delivery
from sendoff_server.store.postgres.conditions import Condition, joined, of_tenant, one_of
from sendoff_server.store.postgres.connection import Connection, fenced, sought
from sendoff_server.store.postgres.queries import columns_of, named, numbered
from sendoff_server.store.questions import DeliveryQuery, ListedDelivery

_PAGE_BYTES = 4 * 1024 * 1024
_LAST_PLACE = (1 << 63) - 1


# ---- told ----


async def read(connection: Connection, tenant: str, delivery_id: str) -> v1.Delivery | None:
    no = await connection.fetchval(named("delivery_number"), tenant, delivery_id)
    found = await _told(connection, [no]) if no is not None else ()
    return found[0].delivery if found else None


async def read_page(connection: Connection, query: DeliveryQuery) -> list[ListedDelivery]:
    statement, values = _page(query)
    return await _told(connection, [no for (no,) in await connection.fetch(numbered(statement), *values)])


def _page(query: DeliveryQuery) -> tuple[str, Sequence[object]]:
    """A run has few of them. Else there is an index by status, in which each status has its own order: the page is put
    together of a page of each."""
    if query.run_id is not None:
        parts = [_part(_of_run(query))]
    else:
        parts = [_part(_of_status(query, status)) for status in dict.fromkeys(query.statuses or STATUSES)]
    limited = [(f"SELECT no FROM ({text} LIMIT ?) part", (*values, query.limit)) for text, values in parts]  # noqa: S608
    statement = " UNION ALL ".join(text for text, _ in limited) + " ORDER BY no DESC LIMIT ?"
    return statement, [*(value for _, values in limited for value in values), query.limit]


def _part(conditions: Sequence[Condition]) -> Condition:
    # Only fixed texts go into the statement, values are bound.
    text, values = joined(conditions)
    return f"SELECT d.no AS no FROM delivery d WHERE {text} ORDER BY d.no DESC", values  # noqa: S608


def _of_run(query: DeliveryQuery) -> list[Condition]:
    asked: list[Condition] = [
        ("d.run_no = (SELECT no FROM run WHERE id = ?)", (query.run_id,)),
        of_tenant("d.tenant", query.tenant, narrow=True),
        ("d.no + 0 < ?", (_before(query),)),
    ]
    if query.endpoint_id is not None:
        asked.append(("d.endpoint_no + 0 = (SELECT no FROM endpoint WHERE id = ?)", (query.endpoint_id,)))
    if query.statuses:
        asked.append(one_of("d.status + 0", "integer", query.statuses))
    return asked


def _of_status(query: DeliveryQuery, status: int) -> list[Condition]:
    asked: list[Condition] = [("d.status = ?", (status,)), ("d.no < ?", (_before(query),))]
    if query.endpoint_id is None:
        return [("d.tenant = ?", (query.tenant,)), *asked]
    endpoint = "d.endpoint_no = (SELECT no FROM endpoint WHERE id = ? AND tenant = ?)"
    return [(endpoint, (query.endpoint_id, query.tenant)), *asked]


def _before(query: DeliveryQuery) -> int:
    return _LAST_PLACE if query.before is None else query.before


async def _told(connection: Connection, numbers: Sequence[int]) -> list[ListedDelivery]:
    """Newest first. With the last attempts; with the last one of each, where all would be too much."""
    size = await connection.fetchval(named("bytes_of_attempts"), numbers)
    attempts: dict[int, list[v1.DeliveryAttempt]] = {no: [] for no in numbers}
    shown = MOST_ATTEMPTS if size <= _PAGE_BYTES else 1
    for no, body in await connection.fetch(named("attempts"), numbers, shown):
        attempts[no].append(v1.DeliveryAttempt.FromString(body))
    rows = await connection.fetch(named("told_deliveries"), numbers)
    return [ListedDelivery(told_delivery(attempts[no], *map(_text, row)), no) for no, *row in rows]


def _text(value: Any) -> Any:
    """Callers' texts are stored as bytes."""
    return value.decode() if isinstance(value, bytes) else value


# ---- tried again ----


async def redeliver(
    connection: Connection, replica_no: int, tenant: str, delivery_ids: Sequence[str], now_ns: int
) -> int:
    async with fenced(connection, replica_no):
        wanted = [sought(each) for each in delivery_ids]
        rows = await connection.fetch(named("deliveries_of_ids"), tenant, wanted)
        return await _again(connection, [no for (no,) in rows], now_ns)


async def redeliver_some(
    connection: Connection,
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
    async with fenced(connection, replica_no):
        rows = await connection.fetch(named("missed_deliveries"), tenant, endpoint_id, since_ns, behind, most)
        numbers = [no for (no,) in rows]
        count = await _again(connection, numbers, now_ns)
        return count, numbers[-1] if len(numbers) == most else None


async def _again(connection: Connection, numbers: Sequence[int], now_ns: int) -> int:
    """With their lanes locked, because runs change, and which one waits for which is decided anew."""
    await connection.execute(named("lock_lanes_of_deliveries"), numbers)
    changed = [no for (no,) in await connection.fetch(named("redeliver"), numbers, now_ns)]
    await connection.execute(named("put_in_order"), numbers)
    shown = []
    for run_no, body in await connection.fetch(named("runs_called_back"), changed):
        run = v1.Run.FromString(body)
        run.etag, run.callback.dead_lettered = ids.etag(), False
        run.callback.next_attempt_time.CopyFrom(timestamp(now_ns))
        shown.append((run_no, run.SerializeToString()))
    if shown:
        await connection.execute(named("write_run_bodies"), *columns_of(shown))
    return len(changed)
