"""An open door, and stubs for it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest

from sendoff.v1.run_service_pb2_grpc import RunServiceStub
from tests.unit.api.door import Door, open_door


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with open_door() as opened:
        yield opened


@pytest.fixture
async def channel(door: Door) -> AsyncIterator[grpc.aio.Channel]:
    async with door.channel() as opened:
        yield opened


@pytest.fixture
def runs(channel: grpc.aio.Channel) -> RunServiceStub:
    return RunServiceStub(channel)
