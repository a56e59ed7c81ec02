"""What only the PostgreSQL engine promises: many replicas on one database, and connections that can break."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from sendoff import v1
from sendoff_server.store.items import Mismatched, Placed, Recorded, Repeated
from sendoff_server.store.port import DEFAULT_TENANT, Fenced, Store, StoreFailed
from sendoff_server.store.postgres import connection, engine, migrations
from sendoff_server.store.postgres.engine import PostgresStore
from sendoff_server.store.questions import Fork, Listed, MessageQuery, MessageScope
from sendoff_server.store.schema import Migration
from tests.contract.databases import PostgresDatabase
from tests.contract.making import (
    accept,
    claim_of,
    conversation,
    finish,
    flush_one,
    new_conversation,
    new_lane,
    run_to_end,
    stored,
)
from tests.postgres import Session, new_database

ROOT = Path(__file__).parents[2]
ROUNDS = 20
T = TypeVar("T")


@pytest.fixture
def database(postgres: PostgresDatabase) -> PostgresDatabase:
    return postgres


async def test_replicas_that_start_together_make_one_schema() -> None:
    with new_database() as dsn:
        stores = [PostgresStore(dsn) for _ in range(2)]
        await asyncio.gather(*(store.__aenter__() for store in stores))
        await asyncio.gather(*(store.__aexit__(None, None, None) for store in stores))
        session = Session(dsn)
        numbers = session.fetch("SELECT number FROM schema_version ORDER BY number")
        assert numbers == [(migration.number,) for migration in migrations.known()]
        session.close()


async def test_a_migration_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Migration(1, "0001_broken.sql", "CREATE TABLE half (no bigint); SELECT 1 / 0;")
    monkeypatch.setattr(migrations, "known", lambda: [broken])
    with new_database() as dsn:
        with pytest.raises(StoreFailed, match="division by zero"):
            await PostgresStore(dsn).__aenter__()
        session = Session(dsn)
        assert session.fetch("SELECT relname FROM pg_class WHERE relname IN ('half', 'schema_version')") == []
        session.close()


async def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="PostgreSQL"):
        await PostgresStore(f"postgresql://postgres@/none?host={tmp_path}").__aenter__()


async def test_a_key_that_two_replicas_take_at_once_is_taken_once(database: PostgresDatabase) -> None:
    """In lanes that have nothing to do with each other, so that no lock of a lane keeps them apart."""
    async with database.replica() as one, database.replica() as two:
        lanes = await new_lane(one), await new_lane(two)
        for number in range(ROUNDS):
            keys = {"request_id": f"r{number}", "fingerprint": str(number).encode()}
            first, second = (accept(lane, **keys) for lane in lanes)  # type: ignore[arg-type]
            results = await asyncio.gather(flush_one(one, first), flush_one(two, second))
            assert {type(result).__name__ for result in results} == {"Placed", "Repeated"}
            one_run, same_run = (result.run for result in results if isinstance(result, Placed | Repeated))
            assert one_run == same_run


async def test_a_key_that_comes_while_a_batch_waits_for_its_lane_is_known_to_it(database: PostgresDatabase) -> None:
    async with database.replica() as one, database.replica() as two:
        lane = await new_lane(one)
        holder = Session(database.dsn)
        holder.execute("BEGIN; SELECT FROM lane FOR UPDATE")
        flushes = [
            asyncio.create_task(store.flush([accept(lane), accept(lane, request_id="r")])) for store in (one, two)
        ]
        await _until_waiting(database, 2)
        holder.execute("COMMIT")
        holder.close()
        results = [result for batch in await asyncio.gather(*flushes) for result in batch]
    assert sorted(type(result).__name__ for result in results) == ["Placed", "Placed", "Placed", "Repeated"]
    assert len({result.run.id for result in results if isinstance(result, Placed | Repeated)}) == 3


async def _until_waiting(database: PostgresDatabase, sessions: int) -> None:
    """For locks that others hold."""
    for _ in range(1_000):
        if len(database.fetch("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'")) >= sessions:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits")


async def test_batches_over_the_same_lanes_and_agents_never_wait_for_each_other_in_a_circle(
    database: PostgresDatabase,
) -> None:
    async with database.replica() as one, database.replica() as two:
        agents = [await new_lane(one) for _ in range(2)]
        for _ in range(ROUNDS):
            mine = [await new_conversation(one, agent) for agent in agents]
            theirs = [await new_conversation(two, agent) for agent in agents]
            await asyncio.gather(_all_to_end(one, mine), _all_to_end(two, theirs[::-1]))
            everybody = [*mine, *theirs]
            batches = (
                [accept(lane, otids=["a"]) for lane in everybody],
                [accept(lane, otids=["b"]) for lane in everybody],
            )
            await asyncio.gather(one.flush(batches[0]), two.flush(batches[1][::-1]))
    assert database.fetch("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]


async def _all_to_end(store: Store, lanes: list[str]) -> None:
    claims = [
        result.claim for result in await store.flush([accept(lane) for lane in lanes]) if isinstance(result, Placed)
    ]
    ended = await store.flush([finish(claim) for claim in claims if claim is not None])
    assert [type(result) for result in ended] == [Recorded] * len(lanes)


async def test_a_list_over_replicas_never_grows_in_front_of_what_was_listed(database: PostgresDatabase) -> None:
    async with database.replica() as one, database.replica() as two, database.replica() as reader:
        lanes = await new_lane(one), await new_lane(two)
        writing = asyncio.gather(_write(one, lanes[0]), _write(two, lanes[1]))
        seen: list[Listed] = []
        while not writing.done():
            seen += await _behind(reader, seen)
        await writing
        while more := await _behind(reader, seen):
            seen += more
    texts = [listed.entries[0].assistant_message.content.text for listed in seen]
    assert len(texts) == len(set(texts)) == 2 * ROUNDS


async def _write(store: Store, lane: str) -> None:
    for number in range(ROUNDS):
        await run_to_end(store, await claim_of(store, accept(lane)), texts=[f"{lane} {number}"])


async def _behind(store: Store, seen: list[Listed]) -> list[Listed]:
    newer_than = seen[-1].place if seen else None
    scope = MessageScope(tenant=DEFAULT_TENANT)
    return await store.list_messages(MessageQuery(of=scope, newer_than=newer_than, newest_first=False, limit=7))


async def test_a_connection_that_breaks_fails_the_batch_and_the_next_one_goes_through(
    database: PostgresDatabase,
) -> None:
    async with database.replica() as store:
        claim = await claim_of(store, accept(await new_lane(store)))
        database.execute("BEGIN; SELECT FROM lane FOR UPDATE")
        flushing = asyncio.create_task(flush_one(store, finish(claim)))
        while not await asyncio.to_thread(database.fetch, "SELECT FROM pg_locks WHERE NOT granted"):
            assert not flushing.done()
        database.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
        with pytest.raises(StoreFailed):
            await flushing
        database.execute("ROLLBACK")
        assert await stored(store, claim.run.id) == claim.run
        assert await flush_one(store, finish(claim)) == Recorded(None)


async def test_after_the_server_was_away_everything_goes_on(database: PostgresDatabase) -> None:
    async with database.replica() as store:
        claim = await claim_of(store, accept(await new_lane(store)))
        database.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert await _in_the_end(lambda: stored(store, claim.run.id)) == claim.run
        assert await _in_the_end(lambda: flush_one(store, finish(claim))) == Recorded(None)
        await _in_the_end(store.beat)


async def _in_the_end(ask: Callable[[], Awaitable[T]]) -> T:
    """Each connection may break once."""
    for _ in range(4):
        with suppress(StoreFailed):
            return await ask()
    return await ask()


async def test_what_callers_write_may_hold_what_a_text_of_the_database_cannot(store: Store) -> None:
    made = v1.Agent(id="agent-\u00e9", name="a\0b", tags=["t\0"], etag="1")
    await store.create_agent(DEFAULT_TENANT, made, None, b"")
    assert await store.agent(DEFAULT_TENANT, made.id) == made
    assert await store.agent(DEFAULT_TENANT, "agent-\0") is None
    claim = await claim_of(store, accept(made.id, request_id="r\0"))
    assert isinstance(await flush_one(store, finish(claim)), Recorded)
    assert isinstance(await flush_one(store, accept(made.id, request_id="r\0", fingerprint=b"other")), Mismatched)


async def test_a_replica_that_slept_through_its_lease_writes_nothing_when_it_wakes(database: PostgresDatabase) -> None:
    arguments = (sys.executable, "-m", "tests.contract.accept_until_killed", database.address)
    process = await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(60), database.replica() as living:
        for _ in range(50):
            await process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        database.age_beats(60)
        await living.beat()
        # Not while it sleeps inside a transaction, until the server ends that.
        while not await living.reap(30):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        before = database.count_rows()
        process.send_signal(signal.SIGCONT)
        await process.stdout.read()
        assert await process.wait() == 1
        assert database.count_rows() == before
        assert len(await living.claim(10)) == 4


async def test_what_takes_long_to_delete_is_deleted(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statements that delete an agent's belongings have other limits than those that callers and runs wait for."""
    monkeypatch.setitem(connection._SESSION, "statement_timeout", "100ms")
    monkeypatch.setattr(engine, "pool", connection.pool)
    async with PostgresStore(database.dsn) as store:
        agent = await new_lane(store)
        beside = await new_conversation(store, agent)
        with _slow_deletes(database):
            assert await store.delete_conversation(DEFAULT_TENANT, beside) == {"active_runs": 0}
            assert await store.delete_agent(DEFAULT_TENANT, agent) == {"active_runs": 0}
    assert set(database.count_rows().values()) == {0}


_SLEEPING = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'"


@contextmanager
def _slow_deletes(database: PostgresDatabase) -> Iterator[None]:
    database.execute(
        """
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$;
        CREATE TRIGGER slow BEFORE DELETE ON lane FOR EACH STATEMENT EXECUTE FUNCTION slow()
        """
    )
    yield
    database.execute("DROP FUNCTION slow CASCADE")


async def test_a_long_delete_keeps_nobody_from_declaring_its_replica_dead(database: PostgresDatabase) -> None:
    async with database.replica() as deleter, database.replica() as other:
        agent = await new_lane(deleter)
        with _slow_deletes(database):
            deleting = asyncio.create_task(deleter.delete_agent(DEFAULT_TENANT, agent))
            while not await asyncio.to_thread(
                database.fetch, "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            ):
                assert not deleting.done()
            database.age_beats(60)
            await other.beat()
            assert await other.reap(30) == 1
            with pytest.raises(Fenced):
                await deleting
        assert await other.agent(DEFAULT_TENANT, agent) is not None


async def test_a_conversation_and_its_fork_that_are_deleted_at_once_leave_nothing(database: PostgresDatabase) -> None:
    async with database.replica() as one, database.replica() as two:
        agent = await new_lane(one)
        for _ in range(ROUNDS):
            source = await new_conversation(one, agent)
            await run_to_end(one, await claim_of(one, accept(source, agent_id=agent)), texts=["inherited"])
            fork = conversation(agent)
            await one.create_conversation(DEFAULT_TENANT, fork, None, b"", Fork(source, None))
            await asyncio.gather(
                one.delete_conversation(DEFAULT_TENANT, source), two.delete_conversation(DEFAULT_TENANT, fork.id)
            )
            rows = database.count_rows()
            assert (rows["message"], rows["listed"], rows["inherited"]) == (0, 0, 0)
