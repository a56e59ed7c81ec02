"""P10. Tenants see only their own: what is not there and what is not yours look the same.

An id that never was and one that is gone are refused alike, with nothing in the text but the id that was asked for.
That what another tenant has is refused like that, on every RPC and route, is shown in `tests/tenants/`.
"""

from __future__ import annotations

import pytest

from sendoff_server import ids
from tests.contract.promises.doors import Door, Refused


async def _refusal(awaited: object) -> Refused:
    with pytest.raises(Refused) as refused:
        await awaited  # type: ignore[misc]  # a coroutine
    return refused.value


async def test_a_run_that_is_gone_is_refused_like_one_that_never_was(door: Door) -> None:
    agent = await door.agent("scripted/echo")
    run_id = (await door.send(agent, "hello")).run_id
    await door.ended(run_id)
    await door.deleted(agent)
    never = ids.new("run")

    for ask in (door.run, door.entries, door.log):
        gone, unknown = await _refusal(ask(run_id)), await _refusal(ask(never))
        assert (gone.kind, gone.text.replace(run_id, never)) == (unknown.kind, unknown.text)
        assert (unknown.kind, unknown.reason) == ("NOT_FOUND", "RUN_NOT_FOUND")


async def test_an_agent_that_is_gone_is_refused_like_one_that_never_was(door: Door) -> None:
    agent, never = await door.agent("scripted/echo"), ids.new("agent")
    await door.deleted(agent)

    gone, unknown = await _refusal(door.send(agent, "hello")), await _refusal(door.send(never, "hello"))
    assert (gone.kind, gone.reason, gone.text.replace(agent, never)) == (unknown.kind, unknown.reason, unknown.text)
    assert (unknown.kind, unknown.reason) == ("NOT_FOUND", "AGENT_NOT_FOUND")
