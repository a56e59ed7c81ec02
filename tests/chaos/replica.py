"""One replica, its wires, and who starts it again when it has ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.chaos.findings import Findings
from tests.chaos.wire import Wire, wired
from tests.fixtures.own_postgres import OwnPostgres
from tests.fixtures.server import ServerProcess, free_port

_PAGE_BYTES = 4096
_DATABASE = "sendoff"
_EXPECTED_ENDS = ("this replica was declared dead",)
_CANNOT_START = ("PostgreSQL:", "the database system is", "Connection refused", "Connect call failed")


class Replica:
    """A server process that is kept running. Callers and its database are at the other ends of wires."""

    def __init__(
        self,
        process: ServerProcess,
        wires: Sequence[Wire],
        database: OwnPostgres,
        flags: Sequence[str],
        findings: Findings,
    ) -> None:
        self.process = process
        self.name = process.data_dir.name
        self.callers_wire, self.rest_wire, self.database_wire = wires
        self.busy = asyncio.Lock()
        """Held by a fault that is being done to it."""
        self.serving = asyncio.Event()
        self.lives: list[list[int]] = []
        """Of each life what it took of memory, in bytes, look by look."""
        self._database = database
        self._flags = flags
        self._findings = findings
        self._down_s = 0.0
        self._end_expected = False
        self._ended = asyncio.Event()

    @property
    def replica_id(self) -> str:
        """Of its present life, by which its store knows it."""
        told = (json.loads(line) for line in reversed(self.process.log) if '"ready"' in line)
        return str(next(each["replica"] for each in told if each["event"] == "ready"))

    async def keep(self) -> None:
        """Start it, and again whenever it has ended, as whatever looks after it in production does."""
        while True:
            if await self._started():
                code = await self._end()
                self._ended.set()
                self._judge(code)
            await asyncio.sleep(self._down_s)
            self._down_s = 0.2

    async def kill(self, down_s: float) -> float:
        """End it with SIGKILL, and have it started again after so long; when that was, by the clock of the system."""
        await self._ends(signal.SIGKILL, down_s)
        return time.time()

    async def terminate(self, down_s: float) -> None:
        await self._ends(signal.SIGTERM, down_s)

    async def freeze(self, seconds: float) -> bool:
        """Stop it in its tracks, and wake it later; whether it is alive a moment after that."""
        self._ended.clear()
        pid = self.process.pid
        self.process.signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self._end_expected = True
        self.process.signal(signal.SIGCONT)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await self._ended.wait()
        self._end_expected = False
        return not self._ended.is_set() and self.process.pid == pid

    async def watch_memory(self) -> None:
        while True:
            await asyncio.sleep(2)
            if self.serving.is_set():
                with contextlib.suppress(OSError, AssertionError):  # it has just ended
                    self.lives[-1].append(_resident_bytes(self.process.pid))

    async def _ends(self, number: signal.Signals, down_s: float) -> None:
        self._ended.clear()
        self._down_s, self._end_expected = down_s, True
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            self.process.signal(number)
        await self._ended.wait()
        self._end_expected = False

    async def _started(self) -> bool:
        self.lives.append([])
        try:
            await self.process.start(*self._flags)
        except (AssertionError, TimeoutError) as error:
            await self._tell_of_start(error)
            await self.process.close()
            return False
        self.serving.set()
        return True

    async def _tell_of_start(self, error: Exception) -> None:
        """It may end at once because the database is away, but it must not hang."""
        if isinstance(error, TimeoutError):
            told = "\n".join([*self.process.log[-6:], *await self._database.sessions()])
            self._findings.break_of("replicas run", f"{self.name} does not begin to serve: {told}")
        elif any(reason in str(error) for reason in _CANNOT_START):
            self._findings.count("starts that failed because the database was away")
        else:
            self._findings.break_of("replicas run", f"{self.name}: {error}")

    async def _end(self) -> int:
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    return await self.process.ended()
        finally:
            self.serving.clear()

    def _judge(self, code: int) -> None:
        """Nobody ends a replica but the test, and others that had reason to think it dead."""
        last = self.process.log[-1] if self.process.log else ""
        fenced = any(reason in last for reason in _EXPECTED_ENDS)
        if fenced:
            self._findings.count("replicas that learned that they had been declared dead")
        if not (fenced or (self._end_expected and code in (0, -signal.SIGKILL))):
            told = "\n".join(self.process.log[-12:])
            self._findings.break_of("replicas run", f"{self.name} ended by itself with {code}: {told}")


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


@asynccontextmanager
async def replica(
    name: str, folder: Path, database: OwnPostgres, module: str, flags: Sequence[str], findings: Findings
) -> AsyncIterator[Replica]:
    """One that is kept inside the block; when it is entered, it has not begun to serve."""
    async with AsyncExitStack() as stack:
        process = ServerProcess(folder / name)
        process.module = module
        process.address, process.http_address = (f"127.0.0.1:{free_port()}" for _ in range(2))
        addresses = (process.address, process.http_address, database.address)
        wires = [await stack.enter_async_context(wired(address)) for address in addresses]
        own = ("--database-url", database.dsn(wires[2].address, _DATABASE), *flags)
        kept = Replica(process, wires, database, own, findings)
        stack.push_async_callback(process.close)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in (kept.keep(), kept.watch_memory())]
            try:
                yield kept
            finally:
                for task in tasks:
                    task.cancel()
