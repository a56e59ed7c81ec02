"""Moments that are hard to hit from outside, made on purpose."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from sendoff import v1
from sendoff_server.agents.directory import AgentDirectory
from sendoff_server.errors import AgentNotFound
from sendoff_server.runs.hub import Hub
from sendoff_server.store.port import Store

_TENANT = "t"


class SlowStore:
    """Answers with the agent as it was when it was asked, once it is told to."""

    def __init__(self, agent: v1.Agent) -> None:
        self.is_alone = True
        self.current: v1.Agent | None = agent
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()

    async def agent(self, tenant: str, agent_id: str) -> v1.Agent | None:
        found = self.current
        self.asked.set()
        await self.answer.wait()
        return found


async def _read_slowly(agent: v1.Agent) -> tuple[SlowStore, AgentDirectory, asyncio.Task[v1.Agent]]:
    store = SlowStore(agent)
    directory = AgentDirectory(cast(Store, store))
    reading = asyncio.create_task(directory.find(_TENANT, agent.id))
    await store.asked.wait()
    return store, directory, reading


async def test_an_agent_read_before_a_change_is_not_remembered_after_it() -> None:
    old, new = (v1.Agent(id="agent-1", system=system) for system in ("old", "new"))
    store, directory, reading = await _read_slowly(old)
    store.current = new
    directory.remember(_TENANT, new)
    store.answer.set()
    await reading
    assert (await directory.find(_TENANT, "agent-1")).system == "new"


async def test_an_agent_read_before_its_deletion_is_not_remembered_after_it() -> None:
    store, directory, reading = await _read_slowly(v1.Agent(id="agent-1"))
    store.current = None
    directory.forget(_TENANT, "agent-1")
    store.answer.set()
    await reading
    with pytest.raises(AgentNotFound):
        await directory.find(_TENANT, "agent-1")


def _run(status: v1.RunStatus.ValueType, last_sequence: int) -> v1.Run:
    return v1.Run(id="run-1", agent_id="agent-1", status=status, last_sequence=last_sequence)


def _finished(run: v1.Run) -> Any:
    return [v1.RunEvent(run_id=run.id, sequence=run.last_sequence, finished=v1.RunFinished(run=run))]


@pytest.mark.parametrize("claimed_first", [False, True])
async def test_a_run_cancelled_in_the_queue_and_claimed_at_once_is_never_shown_as_queued_again(
    claimed_first: bool,
) -> None:
    queued, cancelled = _run(v1.RUN_STATUS_CREATED, 1), _run(v1.RUN_STATUS_CANCELLED, 2)
    hub = Hub()
    with hub.watching("run-1") as topic:
        changed = topic.changed()
        if claimed_first:
            with hub.executing(_TENANT, queued):
                hub.recorded(cancelled, _finished(cancelled))
                hub.ended(_TENANT, cancelled)
                assert hub.known(_TENANT, "run-1") == cancelled
        else:
            hub.recorded(cancelled, _finished(cancelled))
            hub.ended(_TENANT, cancelled)
            with hub.executing(_TENANT, queued):
                assert hub.known(_TENANT, "run-1") == cancelled
        assert changed.done()
        tail = topic.tail(1)
        assert tail is None or [event.sequence for event in tail] == [2]
        assert hub.known("somebody else", "run-1") is None


def test_a_claim_is_not_older_than_what_is_known() -> None:
    hub = Hub()
    newer = _run(v1.RUN_STATUS_RUNNING, 5)
    with hub.watching("run-1") as topic:
        hub.recorded(newer, [])
        with hub.executing(_TENANT, _run(v1.RUN_STATUS_CREATED, 1)):
            assert topic.run == newer
