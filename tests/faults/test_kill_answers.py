"""A server that is killed right after it took answers: they count, once, whichever way they came."""

from __future__ import annotations

import pytest

from sendoff import v1
from tests.faults.caller import PATIENCE_S, Caller, calling
from tests.faults.run_log import check_log
from tests.fixtures.server import ServerProcess
from tests.service.answering import DONE, answers, call_id, deny, end, give, pending, respond, returns, stopped

CANCELLED = (v1.RUN_STATUS_CANCELLED, v1.STOP_REASON_CANCELLED)


async def _continued(caller: Caller, first: v1.Run) -> v1.Run:
    run = await caller.ended((await caller.get(first.id)).continued_by_run_id)
    check_log(run, await caller.log(run.id))
    assert (await caller.get(first.id)).pending_actions == []
    return run


@pytest.mark.parametrize("by_message", [True, False])
async def test_answers_survive(by_message: bool, server_process: ServerProcess) -> None:
    await server_process.start()
    async with calling(server_process.address) as caller:
        agent = await caller.agent()
        first = await stopped(caller, agent, "mine", "mine")
        given = (give(first, 0), deny(first, 1, "no"))
        if by_message:
            accepted = await caller.runs.CreateMessageAsync(answers(agent, *given), timeout=PATIENCE_S)
        else:
            accepted = (await respond(caller, agent, *given)).run
        await server_process.kill()
    await server_process.start()
    async with calling(server_process.address) as caller:
        second = await _continued(caller, first)
        assert (second.id, end(second)) == (accepted.id, DONE)
        denied = "Error: request to call tool denied. User reason: no"
        assert await returns(caller, second) == [(denied, True), ("from outside", False)]
        assert (await respond(caller, agent, *given)).run == second


async def test_some_of_the_answers_survive(server_process: ServerProcess) -> None:
    await server_process.start()
    async with calling(server_process.address) as caller:
        agent = await caller.agent()
        first = await stopped(caller, agent, "mine", "mine")
        await respond(caller, agent, give(first, 0))
        await server_process.kill()
    await server_process.start()
    async with calling(server_process.address) as caller:
        waiting = [action.tool_call_id for action in await pending(caller) if not action.HasField("decision")]
        assert waiting == [call_id(first, 1)]
        run = (await respond(caller, agent, give(first, 1, "too"))).run
        assert await returns(caller, await caller.ended(run.id)) == [("from outside", False), ("too", False)]


async def test_a_cancel_of_what_waits_survives(server_process: ServerProcess) -> None:
    await server_process.start()
    async with calling(server_process.address) as caller:
        agent = await caller.agent()
        first = await stopped(caller, agent, "mine")
        await caller.cancel(first.id)
        await server_process.kill()
    await server_process.start()
    async with calling(server_process.address) as caller:
        second = await _continued(caller, first)
        assert end(second) == CANCELLED
        assert [is_error for _, is_error in await returns(caller, second)] == [True]
