"""What only the SQLite engine promises of the outbox: what it costs, and what it does in bites."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sendoff import v1
from sendoff_server.store.items import Item
from sendoff_server.store.port import DEFAULT_TENANT
from sendoff_server.store.questions import DeliveryQuery, Endpoint
from sendoff_server.store.sqlite import deliveries, delivery_list, endpoints, engine, migrations
from sendoff_server.store.sqlite.connection import connect
from sendoff_server.store.sqlite.engine import SqliteStore
from tests.contract.databases import SqliteDatabase
from tests.contract.making import accept, after, claim_of, finish, new_lane, start
from tests.contract.outbox_making import EVERYTHING, LATER_NS, attempt, change, due, listed, registered, run_once

T = DEFAULT_TENANT


@pytest.fixture
def database(tmp_path: Path) -> SqliteDatabase:
    return SqliteDatabase(tmp_path / "store.db")


@pytest.fixture
def connection(database: SqliteDatabase) -> Iterator[sqlite3.Connection]:
    made = connect(database.path)
    migrations.migrate(made, 1)
    yield made
    made.close()


def plans(connection: sqlite3.Connection, read: Callable[[sqlite3.Connection], object]) -> list[str]:
    """How the statements of that read look for their rows."""
    seen: list[str] = []
    connection.set_trace_callback(seen.append)
    read(connection)
    connection.set_trace_callback(None)
    asked = [each for each in seen if each not in ("BEGIN IMMEDIATE", "COMMIT")]
    return [str(row[3]) for each in asked for row in connection.execute(f"EXPLAIN QUERY PLAN {each}")]


READS: dict[str, tuple[Callable[[sqlite3.Connection], object], str]] = {
    "due": (lambda own: deliveries.due(own, 1, 5, 2, {}), "delivery_due (queue=? AND next_attempt_ns<?)"),
    "due of a pulled endpoint": (
        lambda own: deliveries.due_pulled(own, T, "endpoint-x", 1, 5),
        "delivery_pulled (endpoint_no=? AND next_attempt_ns<?)",
    ),
    "count": (deliveries.count, "COVERING INDEX delivery_by_endpoint (endpoint_no=? AND status=?)"),
    "one": (lambda own: delivery_list.read(own, T, "delivery-x"), "sqlite_autoindex_delivery_1 (id=?)"),
}
PAGES: dict[str, tuple[dict[str, Any], str]] = {
    "tenant": ({}, "delivery_by_status (tenant=? AND status=? AND rowid<?)"),
    "dead letters": ({"statuses": [3]}, "delivery_by_status (tenant=? AND status=? AND rowid<?)"),
    "endpoint": ({"endpoint_id": "e"}, "delivery_by_endpoint (endpoint_no=? AND status=? AND rowid<?)"),
    "dead letters of an endpoint": (
        {"endpoint_id": "e", "statuses": [3]},
        "delivery_by_endpoint (endpoint_no=? AND status=? AND rowid<?)",
    ),
    "run": ({"run_id": "r"}, "delivery_by_run (run_no=?)"),
    "run and endpoint": ({"run_id": "r", "endpoint_id": "e", "statuses": [1, 2]}, "delivery_by_run (run_no=?)"),
}


@pytest.mark.parametrize("name", READS)
def test_what_is_asked_of_the_outbox_is_found_by_an_index(connection: sqlite3.Connection, name: str) -> None:
    read, index = READS[name]
    plan = plans(connection, read)
    assert any(index in line for line in plan), plan
    assert not [line for line in plan if line.startswith(("SCAN delivery", "SCAN d", "SCAN o", "SCAN a"))], plan


@pytest.mark.parametrize("before", [None, 5], ids=["first", "next"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_deliveries_is_found_by_an_index_in_its_order(
    connection: sqlite3.Connection, name: str, before: int | None
) -> None:
    query, index = PAGES[name]
    asked = DeliveryQuery(tenant=T, before=before, limit=3, **query)
    plan = plans(connection, lambda own: delivery_list.read_page(own, asked))
    assert any(index in line for line in plan), plan
    assert not [line for line in plan if line.startswith(("SCAN delivery", "SCAN d", "SCAN a"))], plan


def test_dead_letters_of_an_endpoint_are_found_by_an_index(connection: sqlite3.Connection) -> None:
    replica = connection.execute("INSERT INTO replica (id, beat_ns) VALUES ('r', 1) RETURNING no").fetchone()[0]
    bite = partial(delivery_list.redeliver_some, since_ns=0, now_ns=1, behind=0, most=3)
    plan = plans(connection, lambda own: bite(own, replica, T, "e"))
    assert "SEARCH s USING INDEX delivery_by_run (run_no=? AND endpoint_no=?)" in plan, plan
    assert any("delivery_by_endpoint (endpoint_no=? AND status=? AND rowid>?)" in line for line in plan), plan
    assert not [line for line in plan if line.startswith(("SCAN delivery", "SCAN d", "SCAN s"))], plan


@pytest.mark.parametrize("queue", ["a receiver", "an endpoint"])
async def test_finding_what_is_due_costs_the_same_however_long_one_queue_is(
    database: SqliteDatabase, queue: str
) -> None:
    own: dict[str, Any] = {"callback": v1.CallbackSummary(url="https://long.example/")}
    steps: list[int] = []
    async with database.alone() as store:
        if queue == "an endpoint":
            await registered(store, "https://long.example/")
        for _ in range(2):
            for _ in range(30 * (1 + 4 * len(steps))):
                await run_once(store, **(own if queue == "a receiver" else {}))
            steps.append(await store._readers.submit(_steps_of, lambda own: deliveries.due(own, LATER_NS, 100, 4, {})))
    assert steps[1] < 1.2 * steps[0], steps


def _steps_of(connection: sqlite3.Connection, read: Callable[[sqlite3.Connection], object]) -> int:
    """How many steps SQLite's machine takes for it, to within ten."""
    count = 0

    def counted() -> int:
        nonlocal count
        count += 1
        return 0

    connection.set_progress_handler(counted, 10)
    read(connection)
    connection.set_progress_handler(None, 0)
    return count


async def test_a_page_costs_the_same_however_long_the_list_is(database: SqliteDatabase) -> None:
    steps: list[int] = []
    async with database.alone() as store:
        of = await registered(store)
        for _ in range(2):
            for _ in range(50 * (1 + 4 * len(steps))):
                await run_once(store)
            queries: list[dict[str, Any]] = [{}, {"endpoint_id": of.told.id}, {"statuses": [1]}]
            asked = [DeliveryQuery(tenant=T, limit=5, **query) for query in queries]
            pages = [await store._readers.submit(_steps_of, _page(query)) for query in asked]
            steps.append(sum(pages))
    assert steps[1] < 1.2 * steps[0], steps


async def test_a_start_and_an_end_cost_the_same_however_much_waits_for_the_endpoints(database: SqliteDatabase) -> None:
    steps: list[int] = []
    async with database.alone() as store:
        for number in range(3):
            await registered(store, f"https://{number}.example/", event_types=EVERYTHING)
        for _ in range(2):
            for _ in range(20 * (1 + 9 * len(steps))):
                await run_once(store)
            claim = await claim_of(store, accept(await new_lane(store)))
            started = start(claim)
            items = started, finish(after(claim, started))
            steps.append(sum([await store._writer.submit(_steps_of, _flush(store, item)) for item in items]))
    assert steps[1] < 1.2 * steps[0], steps


def _flush(store: SqliteStore, item: Item) -> Callable[[sqlite3.Connection], object]:
    return lambda own: store._flush(own, [item])


def _page(query: DeliveryQuery) -> Callable[[sqlite3.Connection], object]:
    return lambda own: delivery_list.read_page(own, query)


async def test_without_endpoints_a_batch_makes_as_many_statements_as_if_there_were_no_outbox(
    database: SqliteDatabase,
) -> None:
    async with database.alone() as store:
        lanes = [await new_lane(store) for _ in range(2)]
        claims = [await claim_of(store, accept(lane)) for lane in lanes]
        starts = [start(claim) for claim in claims]
        ends = [finish(after(claim, step)) for claim, step in zip(claims, starts, strict=True)]
        for items in (starts, ends):
            statements = await _statements(store, items)
            assert not [each for each in statements if "INTO delivery" in each or "FROM endpoint e" in each]
            assert not [each for each in statements if "json_array(e.tenant" in each]


async def test_with_endpoints_a_batch_makes_a_few_statements_more_whatever_its_size(database: SqliteDatabase) -> None:
    async with database.alone() as store:
        for number in range(3):
            await registered(store, f"https://{number}.example/", event_types=EVERYTHING)
        counts = []
        for size in (2, 40):
            claims = [await claim_of(store, accept(await new_lane(store))) for _ in range(size)]
            starts = [start(claim) for claim in claims]
            begun = await _statements(store, starts)
            held = await due(store, limit=1_000, per_receiver=1_000)
            noted = await _statements(store, [attempt(each) for each in held])
            ends = [finish(after(claim, step)) for claim, step in zip(claims, starts, strict=True)]
            counts.append((len(begun), len(noted), len(await _statements(store, ends))))
            await store.flush([attempt(each) for each in await due(store, limit=1_000, per_receiver=1_000)])
    assert counts[0] == counts[1]
    assert max(counts[0]) <= 12


async def _statements(store: SqliteStore, items: Sequence[Item]) -> list[str]:
    seen: list[str] = []
    await store._writer.submit(lambda own: own.set_trace_callback(seen.append))
    await store.flush(items)
    await store._writer.submit(lambda own: own.set_trace_callback(None))
    return seen


# ---- in bites ----


@pytest.fixture
def small_bites(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_BITE", 2)


@pytest.mark.parametrize("count", [3, 4, 5])
@pytest.mark.usefixtures("small_bites")
async def test_many_are_deleted_and_tried_again_in_bites(database: SqliteDatabase, count: int) -> None:
    async with database.alone() as store:
        of = await registered(store, disabled=True)
        for _ in range(count):
            await run_once(store)
        await change(store, of, disabled=False)
        assert await store.redeliver_missed(T, of.told.id, 0, 1) == count
        assert len(await due(store)) == count
        assert await store.delete_endpoint(T, of.told.id)
        assert await listed(store) == []
        assert database.execute("SELECT count(*) FROM delivery") == [(0,)]


async def test_a_deletion_that_was_cut_is_done_by_the_next_one(database: SqliteDatabase) -> None:
    async with database.alone() as store:
        of = await registered(store)
        for _ in range(3):
            await run_once(store)
        bite = (store._replica_no, T, of.told.id, 2)
        assert await store._write(endpoints.delete_some, *bite) is False
    async with database.alone() as store:
        assert isinstance(await store.endpoint(T, of.told.id), Endpoint)
        assert len(await listed(store)) == 1
        assert await store.delete_endpoint(T, of.told.id)
        assert await listed(store) == []


@pytest.mark.usefixtures("small_bites")
async def test_what_is_tried_again_in_bites_is_in_order_at_each_end_of_one(database: SqliteDatabase) -> None:
    """Between two bites others claim: a start that is missing must not be overtaken by its end."""
    async with database.alone() as store:
        of = await registered(store, disabled=True, event_types=EVERYTHING)
        await run_once(store)
        await run_once(store)
        await change(store, of, disabled=False)
        behind = -1
        for _ in range(2):
            bite = partial(delivery_list.redeliver_some, since_ns=0, now_ns=1, behind=behind, most=2)
            _, last = await store._write(bite, store._replica_no, T, of.told.id)
            assert last is not None
            behind = last
            assert {each.kind for each in await due(store)} == {"run.started"}
