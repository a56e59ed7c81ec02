"""A scripted server, and each of the two clients connected to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.client.commanding import command
from tests.unit.client.scripted_server import Asker, ScriptedServer, asking, serving

__all__ = ["asker", "command", "server"]


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with serving() as scripted:
        yield scripted


@pytest.fixture(params=["blocking", "asyncio"])
async def asker(request: pytest.FixtureRequest, server: ScriptedServer) -> AsyncIterator[Asker]:
    async with asking(request.param, server.address) as made:
        yield made
