"""Callbacks over gRPC: what receivers get, and what runs show of it."""

from __future__ import annotations

from sendoff_server.app import Server
from tests.faults.caller import calling, request
from tests.fixtures.receiver import Receiver


async def test_a_run_that_has_ended_is_told_to_its_receiver(server: Server, receiver: Receiver) -> None:
    async with calling(server.grpc.address) as caller:
        agent = await caller.agent(model="scripted/echo")
        await caller.runs.CreateMessageAsync(request(agent, "hello", callback_url=receiver.url()))
        (got,) = await receiver.requests(1)
        print(got)
