"""Every promise is held over each door, on a server of its own with SQLite and on two that share PostgreSQL.

Of two servers calls go to one and the other by turns, so that hardly anything is asked of the one that does the work.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from sendoff_server import app
from tests.contract.databases import PostgresDatabase
from tests.contract.promises.by_turns import ByTurns
from tests.contract.promises.doors import DOORS, Door, Open
from tests.faults.gated import at, hold_calls
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


Addresses = tuple[str, str]
"""Where gRPC and REST are served."""


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
def addresses(servers: list[app.Server]) -> Addresses:
    """Of both doors; of two servers those of one each."""
    http = servers[-1].http
    assert http is not None
    return servers[0].grpc.address, http.address


@pytest.fixture
async def door(servers: list[app.Server], opened: Open) -> AsyncIterator[Door]:
    async with AsyncExitStack() as stack:
        doors = []
        for server in servers:
            assert server.http is not None
            doors.append(await stack.enter_async_context(opened(server.grpc.address, server.http.address)))
        yield doors[0] if len(doors) == 1 else ByTurns(doors)
