"""The processes of a measurement: started, pinned to cores, read for CPU time and memory, and always ended.

Each tells that it is ready with a JSON line on stderr, as the server does, `{"event": "ready", "address": "..."}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0
CALL_TIMEOUT_S = 600.0
LAST_LINES = 20

_OURS = ("SENDOFF_", "OPENAI_", "ANTHROPIC_")
_ROOT = Path(__file__).resolve().parent.parent


def tell_ready(address: str = "") -> None:
    """In a child: say that it can be called there."""
    print(json.dumps({"event": "ready", "address": address}), file=sys.stderr, flush=True)


class Child:
    """A process of this measurement."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.address = ""
        self.http_address = ""
        """Of the REST door, where there is one."""
        self.ready_s = 0.0
        """Seconds from start to ready."""
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._figures = psutil.Process(process.pid)

    def cpu_s(self) -> float:
        """Seconds of CPU that it has used, all threads."""
        used = self._figures.cpu_times()
        return float(used.user + used.system)

    def rss_bytes(self) -> int:
        return int(self._figures.memory_info().rss)

    async def call(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Have the load generator do something, and its figures."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        async with asyncio.timeout(CALL_TIMEOUT_S):
            line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError(self._failure(f"ended during {do!r}"))
        figures: dict[str, Any] = json.loads(line)
        return figures

    async def read_until_ready(self, ready: asyncio.Future[None]) -> None:
        """Read what it logs until it ends."""
        assert self.process.stderr is not None
        async for raw in self.process.stderr:
            line = raw.decode(errors="replace").rstrip()
            self.last_lines.append(line)
            if not ready.done() and (told := _ready(line)) is not None:
                self.address, self.http_address = told
                ready.set_result(None)
        if not ready.done():
            ready.set_exception(RuntimeError(self._failure("did not start")))

    def _failure(self, what: str) -> str:
        return "\n".join([f"process {self.process.pid} {what}:", *self.last_lines])


def _ready(line: str) -> tuple[str, str] | None:
    with contextlib.suppress(ValueError):
        told = json.loads(line)
        if isinstance(told, dict) and told.get("event") == "ready":
            return str(told["address"]), str(told.get("http_address", ""))
    return None


@asynccontextmanager
async def child(
    module: str, *arguments: str, cores: frozenset[int], env: Mapping[str, str] | None = None
) -> AsyncIterator[Child]:
    """`python -m module`, ready to be called inside the block, ended after it.

    It gets nothing of the settings in our environment, only `env`.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        env={**inherited, **(env or {})},
        cwd=_ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    os.sched_setaffinity(process.pid, cores)
    started = Child(process)
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    reading = asyncio.create_task(started.read_until_ready(ready))
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            await ready
        started.ready_s = time.perf_counter() - begun
        yield started
    finally:
        await _end(process)
        await reading


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
