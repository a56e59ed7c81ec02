"""Connections, transactions behind the fence, and which of PostgreSQL's errors mean what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from google.protobuf.message import EncodeError

from sendoff_server.store.port import Fenced, StoreFailed
from sendoff_server.store.postgres.queries import named

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

DATA_ERRORS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    OverflowError,
    ValueError,
    EncodeError,
)
"""What one item can cause by itself. UnicodeEncodeError, for a lone surrogate, is a ValueError, and so is what the
driver makes of a value that does not fit."""

MEETINGS = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
    asyncpg.InvalidCachedStatementError,  # a migration has changed a column; the driver forgets the statements
)
"""What a transaction can get because another replica was at the same rows or tables. It is over when that one has
committed."""

TRIES = 4

_FAILURES = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what a connection makes of a message that it is ended, in between
    OSError,
    TimeoutError,
)

_STATEMENT_TIMEOUT_S = 10
CONNECT_S = 3.0
"""How long one host of a DSN may take to let a connection in."""
_STALL_S = 3
"""A replica that stands still inside a transaction keeps others from its lanes that long, then its session is ended."""
_STATEMENTS = 512
_SESSION = {
    "application_name": "sendoff",
    "default_transaction_isolation": "read committed",
    "idle_in_transaction_session_timeout": f"{_STALL_S}s",
    "statement_timeout": f"{_STATEMENT_TIMEOUT_S}s",
    "jit": "off",
    # Arrays of every length get the same plan, and planning costs more than most of these statements.
    "plan_cache_mode": "force_generic_plan",
    # Every statement here goes from a few rows to a few rows along indexes. Without knowing the values, and before the
    # first ANALYZE, the planner would rather read whole tables.
    "enable_seqscan": "off",
    "max_parallel_workers_per_gather": "0",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


if TYPE_CHECKING:
    _Plain = asyncpg.Connection[asyncpg.Record]
else:
    _Plain = asyncpg.Connection  # has parameters in its stubs only


class BoundedClose(_Plain):
    """A connection that is not waited for for ever when the pool closes it, whoever is at its other end."""

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 -- the driver's signature
        with suppress(*_FAILURES):  # it is gone either way
            await super().close(timeout=_STALL_S if timeout is None else min(timeout, _STALL_S))


def pool(dsn: str, size: int, init: Callable[[Connection], Awaitable[None]] | None = None) -> Pool:
    """Up to so many connections, each opened when it is first needed, and `init` done on it then; see `opened`."""
    return asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=size,
        reset=_keep,
        init=cast("Any", init),
        connect=cast("Any", connect),  # the stubs want all parameters by name
        connection_class=BoundedClose,
        statement_cache_size=_STATEMENTS,
        command_timeout=2 * _STATEMENT_TIMEOUT_S,
        server_settings=_SESSION,
    )


@asynccontextmanager
async def opened(connections: Pool) -> AsyncIterator[None]:
    """Inside the block they can be had; on leaving it they are closed, by force if the server does not answer."""
    await connections
    try:
        yield
    finally:
        try:
            async with asyncio.timeout(_STALL_S):
                await connections.close()
        except TimeoutError:
            connections.terminate()


async def connect(dsn: str, **options: Any) -> asyncpg.Connection[asyncpg.Record]:
    """A connection to the first host of the DSN that lets it in and takes writes, so that the others may be standbys.

    Raises what the only host said, or StoreFailed with what each of several said.
    """
    if "target_session_attrs=" not in dsn:
        options["target_session_attrs"] = "read-write"
    options.setdefault("server_settings", {"application_name": _SESSION["application_name"]})
    hosts = hosts_of(dsn)
    refusals: dict[str, Exception] = {}
    for host, each in hosts.items():
        try:
            return await asyncpg.connect(each, timeout=CONNECT_S, **options)
        except asyncpg.ProtocolViolationError as refusal:
            refusals[host] = StoreFailed(f"PostgreSQL: {_told(refusal)}; {_POOLER}") if _is_pooler(refusal) else refusal
        except _FAILURES as refusal:
            refusals[host] = refusal
    if len(refusals) == 1:
        raise next(iter(refusals.values()))
    raise StoreFailed("PostgreSQL: " + "; ".join(f"{host}: {_told(each)}" for host, each in refusals.items()))


async def check_session(connection: Connection) -> None:
    """Raises StoreFailed if the session is not as we asked for it when we connected."""
    rows = await connection.fetch("SELECT name, current_setting(name) FROM unnest($1::text[]) name", list(_SESSION))
    lost = [name for name, value in rows if value != _SESSION[name]]
    if lost:
        raise StoreFailed(f"PostgreSQL: settings of the session were dropped on the way ({', '.join(lost)}); {_POOLER}")


def _is_pooler(refusal: Exception) -> bool:
    return "startup parameter" in str(refusal)


_POOLER = (
    "a pooler such as PgBouncer seems to stand in between, and sessions that are shared or have no settings do not do: "
    "connect to PostgreSQL itself; SENDOFF_DATABASE_CONNECTIONS says how many connections a server has"
)


def connect_s(dsn: str) -> float:
    """How long it may take to find out that no host lets a connection in."""
    return CONNECT_S * len(hosts_of(dsn))


def hosts_of(dsn: str) -> dict[str, str]:
    """By host and port, the DSN of that one alone: the driver would give the first all the time that there is."""
    parts = urlsplit(dsn)
    user, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts:
        return {hosts: dsn}
    return {host: urlunsplit(parts._replace(netloc=f"{user}{at}{host}")) for host in hosts.split(",")}


async def _keep(_: object) -> None:
    """Statements leave nothing behind in a session, so that there is nothing to reset, which would be a round trip."""


@contextmanager
def failures() -> Iterator[None]:
    """Turn what the database could not do into StoreFailed."""
    try:
        yield
    except _FAILURES as error:
        raise StoreFailed(f"PostgreSQL: {_told(error)}") from error


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")


@asynccontextmanager
async def fenced(connection: Connection, replica_no: int) -> AsyncIterator[None]:
    """A transaction of a replica that is alive, and stays so until the end of it. Raises Fenced."""
    async with connection.transaction():
        await check_fence(connection, replica_no)
        yield


async def check_fence(connection: Connection, replica_no: int) -> None:
    """From now until the end of the transaction the replica is alive. Raises Fenced."""
    if await connection.fetchval(named("fence"), replica_no) is None:
        raise Fenced("this replica was declared dead")


@asynccontextmanager
async def snapshot(connection: Connection) -> AsyncIterator[None]:
    """All that is read inside the block is as of one moment."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        yield


def sought(value: object) -> object:
    """A value to look for. A text that PostgreSQL cannot hold is looked for as one that no row has."""
    if isinstance(value, str) and not _can_be_held(value):
        return "\ufffd"
    return value


def _can_be_held(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False


def sought_bytes(text: str) -> bytes:
    """What callers write, to look for."""
    return text.encode(errors="surrogatepass")


def folded(text: str) -> bytes:
    """In a form in which upper and lower case are the same."""
    return text.casefold().encode(errors="surrogatepass")
