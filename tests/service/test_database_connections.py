"""Connections to PostgreSQL: no more than the setting allows, and only such as keep what is set for their session."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from pydantic import ValidationError

from sendoff_server.settings import Settings
from sendoff_server.store.port import StoreFailed
from sendoff_server.store.postgres import connection, engine
from tests.contract.databases import PostgresDatabase
from tests.faults.caller import calling
from tests.faults.line import Line, line_to
from tests.fixtures.server import Serve

_COUNT = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'sendoff%'"


@pytest.mark.parametrize("connections", [4, 6])
async def test_a_server_has_as_many_connections_as_the_setting_says_and_no_more(
    connections: int, serve: Serve, postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "pool", connection.pool)  # those that are kept for other tests count as well
    before = postgres.fetch(_COUNT)[0][0]
    async with serve(database_url=postgres.dsn, database_connections=connections) as server:
        async with calling(server.grpc.address) as caller:
            agents = await asyncio.gather(*(caller.agent("scripted/echo") for _ in range(30)))
            runs = await asyncio.gather(*(caller.send(agent, "hello") for agent in agents for _ in range(3)))
            await asyncio.gather(*(caller.ended(run.id) for run in runs))
            await asyncio.gather(*(caller.log(run.id) for run in runs))
        # They are opened when they are needed, and kept.
        assert postgres.fetch(_COUNT)[0][0] - before == connections


def test_fewer_connections_than_there_are_kinds_of_are_refused() -> None:
    with pytest.raises(ValidationError, match="database_connections"):
        Settings(database_connections=3)


# ---- poolers ----

_STARTUP = struct.Struct("!ii")
_PROTOCOL = 196_608
_OWN = (b"user", b"database")


class Pooler(Line):
    """What PgBouncer does to a new connection: without `ignores` it refuses parameters that it does not know, else it
    drops them."""

    ignores = False

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        given = await _startup(reader, writer)
        unknown = [name for name in given if name not in (*_OWN, b"client_encoding", b"application_name")]
        if unknown and not self.ignores:
            writer.write(_refusal(f"unsupported startup parameter: {unknown[0].decode()}"))
            await writer.drain()
            writer.close()
            return
        kept = b"".join(name + b"\0" + given[name] + b"\0" for name in given if name not in unknown) + b"\0"
        passed = asyncio.StreamReader()
        passed.feed_data(_STARTUP.pack(8 + len(kept), _PROTOCOL) + kept)
        pump = asyncio.create_task(_pump(reader, passed))
        try:
            await super().carry(passed, writer)
        finally:
            pump.cancel()


async def _startup(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> dict[bytes, bytes]:
    """Parameters of the startup message, behind a request for TLS, which is declined."""
    while True:
        length, code = _STARTUP.unpack(await reader.readexactly(_STARTUP.size))
        body = await reader.readexactly(length - _STARTUP.size)
        if code == _PROTOCOL:
            words = body.rstrip(b"\0").split(b"\0")
            return dict(zip(words[::2], words[1::2], strict=True))
        writer.write(b"N")


def _refusal(told: str) -> bytes:
    fields = b"SFATAL\0VFATAL\0C08P01\0M" + told.encode() + b"\0\0"
    return b"E" + struct.pack("!i", 4 + len(fields)) + fields


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamReader) -> None:
    while data := await source.read(65_536):
        sink.feed_data(data)
    sink.feed_eof()


@asynccontextmanager
async def _pooler(dsn: str, *, ignores: bool) -> AsyncIterator[Line]:
    async with line_to(dsn, Pooler) as line:
        assert isinstance(line, Pooler)
        line.ignores = ignores
        yield line


async def _starts(dsn: str) -> None:
    async with engine.PostgresStore(dsn):
        pass


async def _migrates(dsn: str) -> None:
    await engine.bring_schema(dsn, only_check=False)


@pytest.mark.parametrize("begin", [_starts, _migrates])
@pytest.mark.parametrize(
    ("ignores", "wrong"), [(False, "unsupported startup parameter: "), (True, "settings of the session were dropped")]
)
async def test_a_pooler_in_between_ends_the_start_with_what_to_do(
    ignores: bool,
    wrong: str,
    begin: Callable[[str], Awaitable[None]],
    postgres: PostgresDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "pool", connection.pool)
    async with _pooler(postgres.dsn, ignores=ignores) as line:
        with pytest.raises(StoreFailed, match=f"{wrong}.*connect to PostgreSQL itself"):
            await begin(line.dsn)
