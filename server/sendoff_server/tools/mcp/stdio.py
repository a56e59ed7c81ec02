"""An MCP server as a child process, spoken to in lines of JSON over its standard input and output.

The MCP library's own transport puts lines of any length together in memory; here a line that is too long is dropped
while it comes in, and answered by an error in its place. The child is a process group of its own and ends with us: on
leaving, its standard input closes, then it is asked, then killed; if we are killed ourselves, the closing remains.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import PARSE_ERROR, ErrorData, JSONRPCError, jsonrpc_message_adapter

from sendoff_server.tools.mcp.config import StdioServer
from sendoff_server.tools.mcp.failures import MAX_MESSAGE_BYTES, TOO_LARGE
from sendoff_server.tools.mcp.lines import BoundedLines, TooLong

Incoming = MemoryObjectReceiveStream[SessionMessage | Exception]
Outgoing = MemoryObjectSendStream[SessionMessage]

_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LOGNAME", "SHELL", "TERM", "TMPDIR", "USER")
_CHUNK_BYTES = 64 * 1024
_MAX_UNSENT = 64
_MAX_STDERR_LINE_BYTES = 1_000
_EXIT_S = 2.0
"""How long it is given to end after its input closed, and once more after SIGTERM."""

# The id of an answer, where it stands at the top level for certain: right at the front, or before the last brace.
_FIRST_ID = re.compile(rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d{1,15}|"[^"\\]{1,100}")\s*[,}]')
_LAST_ID = re.compile(rb'[,{]\s*"id"\s*:\s*(\d{1,15}|"[^"\\]{1,100}")\s*\}\s*$')


@asynccontextmanager
async def connect(
    config: StdioServer, *, ended: Callable[[], None], told: Callable[[str], None]
) -> AsyncIterator[tuple[Incoming, Outgoing]]:
    """Start the server. `ended` is called once it cannot be spoken to any more, `told` with each line of its standard
    error. Raises OSError if it cannot be started."""
    process = await asyncio.create_subprocess_exec(
        config.command,
        *config.args,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=_environment(config),
        start_new_session=True,
    )
    try:
        async with _pumped(process, ended, told) as streams:
            yield streams
    finally:
        await _stop(process)


def _environment(config: StdioServer) -> dict[str, str]:
    """What every program needs, and what is configured: none of our own keys."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return passed_on | {name: value.get_secret_value() for name, value in config.env.items()}


@asynccontextmanager
async def _pumped(
    process: Process, ended: Callable[[], None], told: Callable[[str], None]
) -> AsyncIterator[tuple[Incoming, Outgoing]]:
    received, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    # With room in it, so that a call of a server that does not read can be given up without waiting for it to read.
    outgoing, to_send = anyio.create_memory_object_stream[SessionMessage](_MAX_UNSENT)
    pumps = [
        asyncio.create_task(_receive(process, received, ended), name="from MCP server"),
        asyncio.create_task(_send(process, to_send, ended), name="to MCP server"),
        asyncio.create_task(_listen(process, told), name="MCP server's errors"),
    ]
    try:
        yield incoming, outgoing
    finally:
        for stream in (received, incoming, outgoing, to_send):
            stream.close()
        for pump in pumps:
            pump.cancel()
        await asyncio.wait(pumps)


async def _receive(
    process: Process, received: MemoryObjectSendStream[SessionMessage | Exception], ended: Callable[[], None]
) -> None:
    assert process.stdout is not None
    lines = BoundedLines(MAX_MESSAGE_BYTES)
    try:
        while chunk := await process.stdout.read(_CHUNK_BYTES):
            for line in lines.feed(chunk):
                message = _too_large(line) if isinstance(line, TooLong) else _message(line)
                if message is not None:
                    await received.send(message)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, ConnectionError, _Unattributable):
        pass  # whoever asked is gone, or told so by the stream's end
    finally:
        ended()
        received.close()


class _Unattributable(Exception):
    """A line was too long, and whose answer it is cannot be told: the connection is of no use any more."""


def _too_large(line: TooLong) -> SessionMessage:
    answered = _FIRST_ID.match(line.head) or _LAST_ID.search(line.tail)
    if answered is None:
        raise _Unattributable
    return _error(answered[1], TOO_LARGE, "the answer is too large")


def _message(line: bytes) -> SessionMessage | None:
    """None: it is no message. Servers that print things are common, and nothing is lost with what they print."""
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        answered = _FIRST_ID.match(line)
        return _error(answered[1], PARSE_ERROR, "the answer is not a message of MCP") if answered else None


def _error(raw_id: bytes, code: int, message: str) -> SessionMessage:
    request_id = int(raw_id) if raw_id.isdigit() else raw_id[1:-1].decode(errors="replace")
    return SessionMessage(JSONRPCError(jsonrpc="2.0", id=request_id, error=ErrorData(code=code, message=message)))


async def _send(
    process: Process, to_send: MemoryObjectReceiveStream[SessionMessage], ended: Callable[[], None]
) -> None:
    assert process.stdin is not None
    with suppress(ConnectionError, anyio.ClosedResourceError):
        async for sent in to_send:
            process.stdin.write(sent.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            await process.stdin.drain()
    ended()


async def _listen(process: Process, told: Callable[[str], None]) -> None:
    assert process.stderr is not None
    lines = BoundedLines(_MAX_STDERR_LINE_BYTES)
    while chunk := await process.stderr.read(_CHUNK_BYTES):
        for line in lines.feed(chunk):
            told((line.head if isinstance(line, TooLong) else line).decode(errors="replace").rstrip())


async def _stop(process: Process) -> None:
    """Let it end, ask it to, kill it, and in any case what it has started and left behind."""
    assert process.stdin is not None
    try:
        process.stdin.close()
        if not await _exited(process):
            _signal(process, signal.SIGTERM)
            await _exited(process)
    finally:
        _signal(process, signal.SIGKILL)
    await _exited(process)
    # What has left the group may hold our pipes open for ever; asyncio has no public way to let go of them.
    process._transport.close()  # type: ignore[attr-defined]


async def _exited(process: Process) -> bool:
    """Whether it has ended within `_EXIT_S`. Waiting may take longer than its life, see `_stop`."""
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), _EXIT_S)
    return process.returncode is not None


def _signal(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
