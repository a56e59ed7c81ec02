"""Replicas in processes of their own, which tell of each write that they try, so that they can be frozen and woken.

    python -m tests.faults.frozen_replicas DSN COUNT

One process loads the program and forks the replicas, which is far cheaper than to start as many. Each prints JSON, a
line a fact: `address` once it serves, `stopping` where it freezes itself, and every write that it began as `verb`,
with the time and what came of it. They neither beat nor take leases over, and hold their model calls until they are
woken with SIGCONT. Each fifth freezes itself in the middle of a transaction that records the end of a run.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sendoff_server import app, logs
from sendoff_server.models import scripted
from sendoff_server.models.port import ModelCall
from sendoff_server.runs import scheduler
from sendoff_server.settings import ProviderSettings, Settings
from sendoff_server.store.batch.changes import Changes
from sendoff_server.store.batch.columns import has_ended
from sendoff_server.store.items import Claim, Item, Result
from sendoff_server.store.port import Poisoned
from sendoff_server.store.postgres import engine, write

T = TypeVar("T")

NEVER_S = 3_600.0
IN_A_TRANSACTION_EACH = 5


def freezes_itself(number: int) -> bool:
    return number % IN_A_TRANSACTION_EACH == 0


def tell(number: int, **fact: Any) -> None:
    """One write of less than a pipe's worth, so that the lines of several processes do not mix."""
    os.write(sys.stdout.fileno(), (json.dumps({"replica": number, "pid": os.getpid(), **fact}) + "\n").encode())


class TellingStore(engine.PostgresStore):
    number: int

    async def flush(self, batch: Sequence[Item]) -> list[Result | Poisoned]:
        return await self._told("flush", super().flush(batch))

    async def claim(self, limit: int) -> list[Claim]:
        return await self._told("claim", super().claim(limit))

    async def beat(self) -> None:
        await self._told("beat", super().beat())

    async def _told(self, verb: str, written: Awaitable[T]) -> T:
        begun, outcome = time.time(), "written"
        try:
            return await written
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            tell(self.number, verb=verb, begun=begun, outcome=outcome)


def _freeze_in_a_transaction(number: int) -> None:
    """Once, where the end of a run is written and not committed."""
    ordinary = write._write

    async def freezing(connection: Any, now_ns: int, changes: Changes) -> None:
        await ordinary(connection, now_ns, changes)
        if any(map(has_ended, changes.runs.values())):
            write._write = ordinary
            tell(number, stopping=True)
            os.kill(os.getpid(), signal.SIGSTOP)

    write._write = freezing


async def _serve(number: int, dsn: str, folder: Path) -> None:
    woken = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGCONT, woken.set)

    async def gate(call: ModelCall, sent: int) -> None:
        if sent == 1 and not freezes_itself(number):
            tell(number, held=call.run_id)
            await woken.wait()

    scripted.ScriptedModels = partial(scripted.ScriptedModels, gate=gate)  # type: ignore[assignment,misc]
    engine.PostgresStore = TellingStore  # type: ignore[misc]
    TellingStore.number = number
    if freezes_itself(number):
        _freeze_in_a_transaction(number)
    app.BEAT_S = app.LEASE_S = app.SURE_S = scheduler.POLL_S = NEVER_S
    settings = Settings(
        grpc_address="127.0.0.1:0",
        http_address="off",
        data_dir=folder,
        database_url=dsn,
        scripted_model=True,
        default_model="scripted/script",
    )
    async with app.running(settings, ProviderSettings.model_construct()) as server:
        tell(number, address=server.grpc.address)
        await asyncio.Event().wait()


def _replica(number: int, dsn: str, folder: Path) -> None:
    try:
        asyncio.run(_serve(number, dsn, folder))
    except BaseException as error:
        tell(number, ended=repr(error)[:400])
        os._exit(1)
    os._exit(0)


def main() -> None:
    dsn, count = sys.argv[1], int(sys.argv[2])
    logs.configure("json", "error")
    with tempfile.TemporaryDirectory() as folder:
        pids = set()
        for number in range(count):
            if not (pid := os.fork()):
                _replica(number, dsn, Path(folder))
            pids.add(pid)
        while pids:
            pid, status = os.wait()
            pids.discard(pid)
            tell(-1, gone=pid, code=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
