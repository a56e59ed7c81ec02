"""Keys: made, listed and revoked at the desk, on both engines, beside a server that has the database."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from sendoff_server.clock import SystemClock
from sendoff_server.store import api_keys as told_keys
from sendoff_server.store.api_keys import ApiKey, ApiKeyDesk, ApiKeyTaken
from sendoff_server.store.port import NewerSchema, Store
from sendoff_server.store.postgres import api_keys as postgres_keys
from sendoff_server.store.postgres import migrations as postgres_migrations
from sendoff_server.store.postgres.key_desk import PostgresKeyDesk
from sendoff_server.store.sqlite import api_keys as sqlite_keys
from sendoff_server.store.sqlite import migrations as sqlite_migrations
from sendoff_server.store.sqlite.engine import SqliteStore
from sendoff_server.store.sqlite.key_desk import SqliteKeyDesk
from tests.contract.databases import Database, SqliteDatabase

NOW = 1_700_000_000_000_000_000


def a_key(number: int = 1, **fields: Any) -> ApiKey:
    key = ApiKey(
        id=f"key-{number:016x}",
        tenant="acme",
        role="full",
        name=f"of {number}",
        secret_hash=hashlib.sha256(str(number).encode()).digest(),
        certificate=None,
        created_ns=NOW + number,
    )
    return replace(key, **fields)


def desk_of(database: Database) -> ApiKeyDesk:
    if isinstance(database, SqliteDatabase):
        return SqliteKeyDesk(database.path, SystemClock())
    return PostgresKeyDesk(database.address.removeprefix("postgres:"))


@pytest.fixture
def desk(database: Database) -> ApiKeyDesk:
    return desk_of(database)


async def test_a_store_without_keys_tells_that_there_was_never_one(store: Store) -> None:
    told = await store.api_key_changes(0)
    assert (told.last, list(told.changed)) == (0, [])


async def test_what_is_made_and_revoked_at_the_desk_is_told_to_servers_as_changes(
    store: Store, desk: ApiKeyDesk
) -> None:
    first, second = a_key(1, expires_ns=NOW + 9), a_key(2, secret_hash=None, certificate="spiffe://acme/worker")
    await desk.add(first)
    begun = await store.api_key_changes(0)
    assert list(begun.changed) == [first]
    await desk.add(second)
    assert list((await store.api_key_changes(begun.last)).changed) == [second]
    seen = (await store.api_key_changes(0)).last

    assert await desk.revoke(first.id, NOW + 5) == replace(first, revoked_ns=NOW + 5)
    told = await store.api_key_changes(seen)
    assert list(told.changed) == [replace(first, revoked_ns=NOW + 5)]
    assert told.last > seen
    assert list((await store.api_key_changes(told.last)).changed) == []


async def test_a_key_that_was_revoked_stays_as_it_was_and_an_unknown_one_is_told(desk: ApiKeyDesk) -> None:
    await desk.add(a_key())
    await desk.revoke(a_key().id, NOW + 5)
    assert await desk.revoke(a_key().id, NOW + 6) == replace(a_key(), revoked_ns=NOW + 5)
    assert await desk.revoke("key-of-nobody", NOW) is None


async def test_what_is_done_at_the_desk_is_in_the_audit_of_the_keys_tenant(store: Store, desk: ApiKeyDesk) -> None:
    await desk.add(a_key(1, secret_hash=None, certificate="spiffe://acme/worker"))
    with pytest.raises(ApiKeyTaken):
        await desk.add(a_key(2, secret_hash=None, certificate="spiffe://acme/worker"))
    await desk.revoke(a_key(1).id, NOW + 5)
    await desk.revoke(a_key(1).id, NOW + 6)
    told = await store.audit_entries("acme", "~", 10)
    assert [(entry.method, list(entry.resource_ids), entry.outcome) for entry in told] == [
        ("sendoff-server keys revoke", [a_key(1).id], "OK"),
        ("sendoff-server keys create", [a_key(1).id], "OK"),
    ]
    assert all(entry.HasField("create_time") for entry in told)


async def test_keys_are_listed_by_age_of_one_tenant_or_of_all(desk: ApiKeyDesk) -> None:
    keys = [a_key(1), a_key(2, tenant="other"), a_key(3, revoked_ns=NOW)]
    for key in reversed(keys):
        await desk.add(key)
    assert list(await desk.all(None)) == keys
    assert list(await desk.all("acme")) == [keys[0], keys[2]]
    assert list(await desk.all("nobody")) == []


async def test_when_a_key_was_used_never_goes_back(store: Store, desk: ApiKeyDesk) -> None:
    await desk.add(a_key(1))
    await desk.add(a_key(2))
    before = (await store.api_key_changes(0)).last
    await store.note_api_keys_used({a_key(1).id: NOW + 20, a_key(2).id: NOW + 10, "key-of-nobody": NOW})
    await store.note_api_keys_used({a_key(1).id: NOW + 19, a_key(2).id: NOW + 30})
    assert [key.used_ns for key in await desk.all(None)] == [NOW + 20, NOW + 30]
    assert (await store.api_key_changes(0)).last == before, "use is no change"


async def test_a_certificate_has_one_key_that_counts(desk: ApiKeyDesk) -> None:
    first = a_key(1, secret_hash=None, certificate="spiffe://acme/worker")
    await desk.add(first)
    with pytest.raises(ApiKeyTaken, match=first.id):
        await desk.add(a_key(2, secret_hash=None, certificate=first.certificate))
    await desk.revoke(first.id, NOW)
    await desk.add(a_key(2, secret_hash=None, certificate=first.certificate))
    assert len(await desk.all(None)) == 2


async def test_no_more_keys_than_servers_can_hold(desk: ApiKeyDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (told_keys, sqlite_keys, postgres_keys):
        monkeypatch.setattr(module, "MAX_API_KEYS", 2)
    await desk.add(a_key(1))
    await desk.add(a_key(2))
    with pytest.raises(ApiKeyTaken, match="revoke some"):
        await desk.add(a_key(3))
    await desk.revoke(a_key(1).id, NOW)
    await desk.add(a_key(3))


async def test_from_the_first_key_on_programs_that_know_of_none_are_kept_out(
    database: Database, desk: ApiKeyDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with database.replica():
        pass
    with monkeypatch.context() as older:
        _know_no_keys(older)
        async with database.replica():
            pass
    await desk.add(a_key())
    with monkeypatch.context() as older:
        _know_no_keys(older)
        with pytest.raises(NewerSchema):
            async with database.replica():
                pass


def _know_no_keys(patch: pytest.MonkeyPatch) -> None:
    """The program is the one before this."""
    for migrations, last in ((sqlite_migrations, 13), (postgres_migrations, 5)):
        patch.setattr(migrations, "known", migrations.known()[:last].copy)


async def test_on_sqlite_the_desk_is_served_while_a_server_has_the_database_and_where_there_is_none(
    tmp_path: Any,
) -> None:
    database = SqliteDatabase(tmp_path / "sendoff.db")
    await desk_of(database).add(a_key(1))
    async with SqliteStore(database.path, synchronous="NORMAL") as store:
        await desk_of(database).add(a_key(2))
        assert [key.id for key in (await store.api_key_changes(0)).changed] == [a_key(1).id, a_key(2).id]
