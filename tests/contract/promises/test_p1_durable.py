"""P1. Accepted is durable: `kill -9` right after the reply loses nothing."""

from __future__ import annotations

import asyncio

from tests.contract.promises.doors import Open, gives
from tests.faults.caller import patiently, script
from tests.fixtures.server import ServerProcess

MINE = [{"name": "mine"}]


async def test_what_was_acknowledged_ends_though_the_server_is_killed_at_once(
    server_process: ServerProcess, opened: Open
) -> None:
    server_process.http_address = "127.0.0.1:0"
    await server_process.start()
    async with opened(server_process.address, server_process.http_address) as door:
        agents = [await door.agent("scripted/echo") for _ in range(3)]
        accepted = await asyncio.gather(*(door.send(agents[n % 3], f"message {n}") for n in range(18)))
        await server_process.kill()
    await server_process.start()
    async with opened(server_process.address, server_process.http_address) as door:
        for n, each in enumerate(accepted):
            assert (await patiently(door.ended(each.run_id)))["status"] == "completed"
            assert await door.texts(each.run_id) == [f"message {n}", f"You said: message {n}"]


async def test_an_answer_that_was_acknowledged_counts_once_though_the_server_is_killed_at_once(
    server_process: ServerProcess, opened: Open
) -> None:
    server_process.http_address = "127.0.0.1:0"
    await server_process.start()
    play = script(steps=[{"tool_calls": [{"name": "mine"}]}, {"text": "seven it is"}])
    async with opened(server_process.address, server_process.http_address) as door:
        agent = await door.agent()
        asked = (await door.send(agent, play, client_tools=MINE)).run_id
        assert (await patiently(door.ended(asked)))["stop_reason"] == "requires_approval"
        (call,) = await door.pending(agent)
        answered = await door.answer(agent, gives(call, "seven"))
        await server_process.kill()
    await server_process.start()
    async with opened(server_process.address, server_process.http_address) as door:
        assert (await patiently(door.ended(answered.run_id)))["stop_reason"] == "end_turn"
        assert await door.pending(agent) == []
        assert (await door.texts(answered.run_id))[-1] == "seven it is"
        assert (await door.answer(agent, gives(call, "seven"))).run_id == answered.run_id
