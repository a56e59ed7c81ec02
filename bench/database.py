"""A PostgreSQL for a measurement: out of the wheel that tests use, in a folder of its own on the disk that is measured,
as `initdb` sets it up: with fsync, and with a commit that waits for the disk."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import asyncpg
import psutil

from tests.postgres import control, make_cluster, stop_at_once

_REACHABLE = 0o001


class Engine(StrEnum):
    """Where a server keeps its runs."""

    sqlite = "sqlite"
    postgres = "postgres"


@dataclass(frozen=True)
class Database:
    """A server with one empty database. It listens on a socket in its folder, and nowhere else."""

    dsn: str
    process: psutil.Process

    def cpu_s(self) -> float:
        """Seconds of CPU that the server has used, all of its processes, those included that have ended."""
        while True:
            children = self.process.children()
            with suppress(psutil.NoSuchProcess):
                own = self.process.cpu_times()
                times = [each.cpu_times() for each in children]
                if self.process.children() == children:  # else one has ended in between, and is counted twice or not
                    used = own.user + own.system + own.children_user + own.children_system
                    return float(used + sum(each.user + each.system for each in times))

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
    folder = Path(tempfile.mkdtemp(dir=directory, prefix="bench-pg-"))
    try:
        if not os.geteuid() and not all(parent.stat().st_mode & _REACHABLE for parent in folder.parents):
            raise RuntimeError(f"root can run PostgreSQL only where others may go, and they may not go to {directory}")
        await asyncio.to_thread(make_cluster, folder, {"listen_addresses": ""})
        await asyncio.to_thread(control, folder, "start")
        pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        yield Database(f"postgresql://postgres@/postgres?host={folder}", psutil.Process(pid))
    finally:
        await asyncio.to_thread(stop_at_once, folder)
