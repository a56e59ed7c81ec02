"""P11. Bounded: past a limit the caller gets a clear error with what to do."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.promises.conftest import HELD
from tests.contract.promises.doors import Open, Refused
from tests.faults.caller import patiently, script
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve

MOST = 3
"""Runs of a conversation that have not ended, with the one at work."""


async def test_a_full_queue_refuses_with_a_hint_when_to_come_back_and_takes_more_once_there_is_room(
    gate: HeldCalls, serve: Serve, opened: Open
) -> None:
    async with serve(http_address="127.0.0.1:0", max_queued_per_conversation=MOST) as server:
        assert server.http is not None
        async with opened(server.grpc.address, server.http.address) as door:
            agent = await door.agent()
            accepted = [(await door.send(agent, script(text=HELD))).run_id]
            await patiently(gate.held.get())
            accepted += [(await door.send(agent, script(text="short"))).run_id for _ in range(MOST - 1)]
            for refused in await asyncio.gather(
                *(door.send(agent, script(text="too much")) for _ in range(5)), return_exceptions=True
            ):
                assert isinstance(refused, Refused)
                assert (refused.kind, refused.reason) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL")
                assert refused.retry_after_s
            gate.release()
            for run_id in accepted:
                assert (await patiently(door.ended(run_id)))["status"] == "completed"
            again = (await door.send(agent, script(text="now"))).run_id
            assert (await patiently(door.ended(again)))["status"] == "completed"


async def test_a_request_that_is_too_large_is_refused_with_the_limit(serve: Serve, opened: Open) -> None:
    async with serve(http_address="127.0.0.1:0", max_request_bytes=20_000) as server:
        assert server.http is not None
        async with opened(server.grpc.address, server.http.address) as door:
            agent = await door.agent("scripted/echo")
            with pytest.raises(Refused, match="20000") as refused:
                await door.send(agent, "x" * 30_000)
            assert (refused.value.kind, refused.value.reason) == ("INVALID_ARGUMENT", "REQUEST_TOO_LARGE")
            fits = (await door.send(agent, "x" * 10_000)).run_id
            assert (await patiently(door.ended(fits)))["status"] == "completed"
