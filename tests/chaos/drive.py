"""One run of the test, from the start of the database to the report."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from sendoff import v1
from tests.chaos import outside
from tests.chaos.checks import check, check_memory
from tests.chaos.cluster import Cluster, cluster
from tests.chaos.faults import Faults
from tests.chaos.findings import Findings
from tests.chaos.hooks import Hooks, hooked
from tests.chaos.inbox import Inbox
from tests.chaos.jobs import make_jobs
from tests.chaos.load import Load
from tests.chaos.looking import Looks
from tests.chaos.plan import Plan
from tests.chaos.recovery import Recovery
from tests.chaos.report import Report
from tests.chaos.settling import settle
from tests.chaos.world import read
from tests.faults.caller import PATIENCE_S, Caller

_LOOK_S = 0.1
_TOOL_S = 0.4
"""A tool takes up to so long."""


async def run(plan: Plan) -> Report:
    """Everything; raises nothing for a promise that was broken."""
    begun = time.monotonic()
    findings = Findings(shown=plan.shown)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ledger = outside.Ledger(random.Random(plan.seed), _TOOL_S)
        tools = await stack.enter_async_context(outside.serving(ledger))
        hooks = await stack.enter_async_context(hooked(findings, plan.seed))
        replicas = await stack.enter_async_context(cluster(plan, folder, tools, findings))
        hooks.secret = replicas.secret
        return await _broken_and_checked(plan, replicas, hooks, ledger, findings, begun)


async def _broken_and_checked(
    plan: Plan, replicas: Cluster, hooks: Hooks, ledger: outside.Ledger, findings: Findings, begun: float
) -> Report:
    chance = random.Random(plan.seed)
    lanes = await _make_lanes(plan.conversations, replicas.callers.balanced)
    jobs = make_jobs(plan.runs, lanes, hooks.receiver.url(), chance)
    load = Load(plan, jobs, replicas.callers, replicas.rest, findings)
    looks = Looks(load, replicas.callers, replicas.rest, findings, plan.seed)
    recovery = Recovery(replicas.database.dsn(database="sendoff"), [each.name for each in replicas.replicas], findings)
    faults = Faults(plan, replicas, recovery, findings)
    inbox = Inbox({job.key: job for job in jobs}, replicas.callers, findings, plan.seed)
    watched = chance.sample(jobs, min(plan.watchers, plan.runs))
    looks.watch(watched, watched[::5])
    async with _going_on([inbox.answer_all(), *(looks.sample() for _ in range(plan.samplers))]):
        await asyncio.gather(faults.happen(), load.send_all())
        findings.tell("no more faults")
        await settle(load, hooks, inbox, replicas, findings)
        await looks.end_watching()
    world = await read(replicas.callers)
    check(world, load.acknowledged, looks, hooks, ledger, findings)
    check_memory(replicas.replicas, findings)
    return Report.of(plan, faults, recovery, replicas, world, findings, time.monotonic() - begun)


@asynccontextmanager
async def _going_on(works: Sequence[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """What never ends by itself goes on inside the block."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        yield
        for task in tasks:
            task.cancel()


async def _make_lanes(count: int, caller: Caller) -> list[tuple[str, str | None]]:
    """Conversations, each as agent and id: of every agent the default one and three beside it."""
    tool_ids = [tool.id for tool in await _tools(caller)]

    async def of_one_agent() -> list[tuple[str, str | None]]:
        agent = await caller.agent(tool_ids=tool_ids)
        return [(agent, None), *[(agent, await caller.conversation(agent)) for _ in range(3)]]

    lanes = await asyncio.gather(*(of_one_agent() for _ in range(-(-count // 4))))
    return [lane for each in lanes for lane in each][:count]


async def _tools(caller: Caller) -> Sequence[v1.Tool]:
    """Those of the outside, as soon as a replica has asked it what it has."""
    ask = v1.ListToolsRequest(names=[outside.CHARGE, outside.NOTE, outside.RISKY])
    async with asyncio.timeout(PATIENCE_S):
        while True:
            listed = await caller.tools.ListTools(ask, timeout=PATIENCE_S)
            if len(listed.tools) == len(ask.names):
                return listed.tools
            await asyncio.sleep(_LOOK_S)
