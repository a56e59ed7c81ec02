"""Every promise is held over each door, on a server of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sendoff_server import app
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


@pytest.fixture
async def server(gate: HeldCalls, workshop: Workshop, serve: Serve) -> AsyncIterator[app.Server]:
    async with serve(http_address="127.0.0.1:0") as running:
        yield running


@pytest.fixture
async def door(server: app.Server, opened: Open) -> AsyncIterator[Door]:
    assert server.http is not None
    async with opened(server.grpc.address, server.http.address) as connected:
        yield connected
