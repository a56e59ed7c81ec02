"""Every promise is held over each door, on a server of its own with SQLite and on two that share PostgreSQL.

Between callers and the two stands the balancer of `deploy/`. It hands calls to one and the other by turns, so that
hardly anything is asked of the one that does the work. Where there is no program of it for the machine, the test's
own door takes turns.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sendoff_server import app
from tests.contract.databases import PostgresDatabase
from tests.contract.promises.by_turns import ByTurns
from tests.contract.promises.doors import DOORS, Door, Open
from tests.faults.gated import at, hold_calls
from tests.fixtures import balancer
from tests.fixtures.balancer import Addresses
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve
from tests.fixtures.tools import Workshop, open_workshop
from tests.service.answering import furnish

HELD = "held in the middle"
"""What a message says whose model call is to stop behind its second chunk."""


@pytest.fixture(params=list(DOORS.values()), ids=list(DOORS))
def opened(request: pytest.FixtureRequest) -> Open:
    door: Open = request.param
    return door


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    return hold_calls(monkeypatch, at(2, HELD))


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """The server's tools: `plain`, and `risky`, which needs an approval."""
    made = open_workshop(monkeypatch)
    furnish(made)
    return made


@pytest.fixture(params=["sqlite", "two replicas"])
def shared_database(request: pytest.FixtureRequest) -> str:
    """Of two servers; empty for one with a database of its own."""
    if request.param == "sqlite":
        return ""
    postgres: PostgresDatabase = request.getfixturevalue("postgres")
    return postgres.dsn


@pytest.fixture
async def servers(
    gate: HeldCalls, workshop: Workshop, serve: Serve, shared_database: str
) -> AsyncIterator[list[app.Server]]:
    async with AsyncExitStack() as stack:
        count = 2 if shared_database else 1
        served = [serve(http_address="127.0.0.1:0", database_url=shared_database) for _ in range(count)]
        yield [await stack.enter_async_context(each) for each in served]


@pytest.fixture
async def callable_at(servers: list[app.Server], tmp_path: Path) -> AsyncIterator[list[Addresses]]:
    """Where callers call: at the balancer, or at each server."""
    places = [(server.grpc.address, server.http.address) for server in servers if server.http is not None]
    if len(places) == 1 or not balancer.IS_INSTALLED:
        yield places
        return
    async with balancer.balancing(places, tmp_path, by_turns=True) as between:
        yield [(between.grpc_address, between.http_address)]


@pytest.fixture
def addresses(callable_at: list[Addresses]) -> Addresses:
    """Of both doors, if need be those of different servers."""
    return callable_at[0][0], callable_at[-1][1]


@pytest.fixture
async def door(callable_at: list[Addresses], opened: Open) -> AsyncIterator[Door]:
    async with AsyncExitStack() as stack:
        doors = [await stack.enter_async_context(opened(*each)) for each in callable_at]
        yield doors[0] if len(doors) == 1 else ByTurns(doors)
