"""What a migration says of itself, and which programs a schema lets in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sendoff_server.store import schema
from sendoff_server.store.port import NewerSchema
from sendoff_server.store.postgres import migrations as postgres_migrations
from sendoff_server.store.schema import Migration, Schema, read_migrations
from sendoff_server.store.sqlite import migrations as sqlite_migrations


def test_without_a_word_a_migration_keeps_all_older_programs_out() -> None:
    migration = Migration(7, "0007_x.sql", "-- What it is for.\nCREATE TABLE x (y bigint);\n-- oldest program: 3\n")
    assert (migration.oldest, migration.in_transaction) == (7, True)


def test_a_migration_says_at_its_head_who_may_stay_and_that_it_is_outside_a_transaction() -> None:
    head = "-- What it is for.\n-- oldest program: 6\n-- outside a transaction\n"
    migration = Migration(7, "0007_x.sql", head + "CREATE INDEX CONCURRENTLY x ON y (z);\n")
    assert (migration.oldest, migration.in_transaction) == (6, False)


@pytest.mark.parametrize(("known", "is_admitted"), [(3, False), (4, True), (5, True), (6, True)])
def test_a_schema_lets_in_programs_that_know_enough_of_it(known: int, is_admitted: bool) -> None:
    if is_admitted:
        Schema(6, 4).admit(known)
    else:
        with pytest.raises(NewerSchema, match=r"schema 6, which programs that know 4 or more .* knows 3; start"):
            Schema(6, 4).admit(known)


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"0001_a.sql": "", "0003_c.sql": ""}, "not numbered 1 to 2"),
        (
            {"0001_a.sql": "", "0002_b.sql": "-- oldest program: 3\n"},
            "0002_b.sql: the oldest program is none of",
        ),
        ({"0001_a.sql": "-- oldest program: 0\n"}, "0001_a.sql: the oldest program"),
    ],
)
def test_migrations_that_make_no_sense_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], fault: str
) -> None:
    (tmp_path / "migrations").mkdir()
    for name, text in files.items():
        (tmp_path / "migrations" / name).write_text(text)
    monkeypatch.setattr(schema, "files", lambda _: tmp_path)
    with pytest.raises(ValueError, match=re.escape(fault)):
        read_migrations("an.engine")


def test_what_is_not_in_a_transaction_can_be_repeated_and_is_of_postgresql_only() -> None:
    """A repeat finds the invalid index of an attempt that was broken off."""
    assert all(migration.in_transaction for migration in sqlite_migrations.known())
    for migration in postgres_migrations.known():
        made = re.findall(r"CREATE (?:UNIQUE )?INDEX CONCURRENTLY (\w+)", migration.text)
        assert not (made and migration.in_transaction), migration.name
        for index in made:
            assert f"DROP INDEX CONCURRENTLY IF EXISTS {index};" in migration.text, migration.name
