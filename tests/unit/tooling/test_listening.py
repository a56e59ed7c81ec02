"""The TCP server of tests leaves nothing open, at whichever moment somebody connects."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings

import pytest

from tests.fixtures.listening import listening


async def _wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_comes_as_it_closes_is_closed_too(turns: int) -> None:
    """After so many turns of the event loop, in which asyncio takes it step by step."""
    async with listening(_wait) as address:
        caller = socket.create_connection(address)
        for _ in range(turns):
            await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    with caller, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        gc.collect()
    assert [str(each.message) for each in told if "unclosed" in str(each.message)] == []
