"""Runs one order in a process of its own, and leaves nothing of it behind."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sendoff_server.tools.python.confinement import Confinement

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Of the answer's JSON; `worker.py` keeps to a million characters, whatever the tool returned."""
MAX_PRINTED_BYTES = 64 * 1024
"""Of each of stdout and stderr; the rest is read and dropped."""

_CHUNK_BYTES = 64 * 1024
_STOP_TIMEOUT_S = 5.0


@dataclass(slots=True)
class Captured:
    """The first bytes of a stream, and how many more there were."""

    limit: int
    kept: bytearray = field(default_factory=bytearray)
    dropped: int = 0

    def add(self, chunk: bytes) -> None:
        room = self.limit - len(self.kept)
        self.kept += chunk[:room]
        self.dropped += max(0, len(chunk) - room)

    def lines(self) -> list[str]:
        lines = self.kept.decode(errors="replace").splitlines()
        return [*lines, f"... [truncated {self.dropped} bytes]"] if self.dropped else lines


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended."""

    answer: Captured
    stdout: Captured
    stderr: Captured
    code: int
    """Its exit code; more than 128: the worker was killed by the signal of that number less 128."""


async def run(confinement: Confinement, order: Mapping[str, Any], *, limits: Mapping[str, int], key: str) -> Ended:
    """Carry out an order for `child.py`. Cancelled, it kills whatever came of the process before it raises. Raises
    OSError if there can be no process."""
    stop = asyncio.Event()
    # A task that nobody cancels: a process that has begun to start has to be ended, however often we are cancelled.
    carrying = asyncio.create_task(_carry_out(confinement, {**order, "limits": limits}, key, stop), name="python tool")
    try:
        return await asyncio.shield(carrying)
    except asyncio.CancelledError:
        stop.set()
        while not carrying.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([carrying])
        if not carrying.cancelled():
            carrying.exception()  # of no interest any more
        raise


async def _carry_out(confinement: Confinement, order: Mapping[str, Any], key: str, stop: asyncio.Event) -> Ended:
    folder = "" if confinement.bwrap else await asyncio.to_thread(tempfile.mkdtemp, prefix="sendoff-tool-")
    try:
        line = json.dumps({**order, "folder": folder}).encode() + b"\n"
        process, answer, pipe = await _started(confinement, folder, key)
        try:
            return await _attend(process, answer, line, stop, is_confined=bool(confinement.bwrap))
        finally:
            pipe.close()  # asyncio does so itself at the stream's end, uvloop does not
    finally:
        if folder:  # the process has removed it, unless it was killed
            shutil.rmtree(folder, ignore_errors=True)


async def _started(
    confinement: Confinement, folder: str, key: str
) -> tuple[Process, asyncio.StreamReader, asyncio.ReadTransport]:
    """A process that waits for its order, and the stream that its answer comes on, with its transport."""
    readable, writable = os.pipe()
    source = os.fdopen(readable, "rb", buffering=0)
    try:
        process = await asyncio.create_subprocess_exec(
            *confinement.command(writable),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            cwd=folder or "/",
            env=confinement.environment(folder, key),
            pass_fds=(writable,),
            start_new_session=True,
        )
    except BaseException:
        source.close()
        raise
    finally:
        os.close(writable)
    answer = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(answer), source)
    return process, answer, pipe


async def _attend(
    process: Process, answer: asyncio.StreamReader, line: bytes, stop: asyncio.Event, *, is_confined: bool
) -> Ended:
    """From the order to the end of the process, which comes sooner when `stop` is set. Its streams end when all that
    came of it are gone."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    streams = (answer, process.stdout, process.stderr)
    told = (Captured(MAX_ANSWER_BYTES), Captured(MAX_PRINTED_BYTES), Captured(MAX_PRINTED_BYTES))
    reading: asyncio.Future[Any] = asyncio.gather(*map(_read, streams, told), process.wait())
    stopping: asyncio.Future[Any] = asyncio.create_task(stop.wait())
    process.stdin.write(line)
    await asyncio.wait([reading, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    process.stdin.close()  # to the child this means: stop
    if not reading.done():
        await _stopped(process, reading, is_confined=is_confined)
    code = await process.wait()
    return Ended(*told, code=code if code >= 0 else 128 - code)


async def _read(stream: asyncio.StreamReader, into: Captured) -> None:
    while chunk := await stream.read(_CHUNK_BYTES):
        into.add(chunk)


async def _stopped(process: Process, reading: asyncio.Future[Any], *, is_confined: bool) -> None:
    """Its end; with bubblewrap all in it dies at once, without it the child sees to that, if it is still itself."""
    if is_confined:
        _kill(process)
    done, _ = await asyncio.wait([reading], timeout=_STOP_TIMEOUT_S)
    if not done:
        _kill(process)
        await asyncio.wait([reading], timeout=_STOP_TIMEOUT_S)
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
