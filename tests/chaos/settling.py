"""After the faults: everything that was accepted comes to its end, and every conversation goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import grpc.aio

from sendoff import v1
from tests.chaos.cluster import CALL_S, Cluster, Stuck
from tests.chaos.findings import Findings, brief
from tests.chaos.hooks import Hooks
from tests.chaos.inbox import Inbox
from tests.chaos.jobs import LAST, Job
from tests.chaos.load import Load
from tests.faults.caller import Caller, request, script, seconds
from tests.faults.run_log import TERMINAL

_LONGEST_S = 120.0
_AT_ONCE = 24


async def settle(load: Load, hooks: Hooks, inbox: Inbox, replicas: Cluster, findings: Findings) -> None:
    """Wait for all of it, for a bounded time. What does not come is a broken promise."""
    end_s = time.monotonic() + _LONGEST_S
    for each in replicas.replicas:
        await each.serving.wait()
    settling = _Settling(load, replicas, findings, end_s)
    await settling.each(load.acknowledged, settling.turn_ends)
    await settling.each(load.acknowledged, load.send_again)
    await settling.until(lambda: _inbox_is_empty(inbox), "P7", "actions are pending for ever")
    await settling.each(list({job.lane: job for job in load.jobs}.values()), settling.goes_on)
    wanted = {job.run_id for job in load.acknowledged if job.request.HasField("callback_url")}
    await settling.until(lambda: _all_told(wanted, hooks), "P9", "callbacks are missing")


async def _inbox_is_empty(inbox: Inbox) -> bool:
    return not await inbox.pending()


async def _all_told(wanted: set[str], hooks: Hooks) -> bool:
    return wanted <= hooks.told.keys()


class _Settling:
    def __init__(self, load: Load, replicas: Cluster, findings: Findings, end_s: float) -> None:
        self._load = load
        self._callers = replicas.callers
        self._findings = findings
        self._end_s = end_s

    async def each(self, jobs: list[Job], work: Callable[[Job], Awaitable[None]]) -> None:
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(job: Job) -> None:
            async with limit:
                try:
                    await work(job)
                except (grpc.aio.AioRpcError, Stuck) as error:
                    self._findings.break_of("every request is answered", f"{job.key}, {job.run_id}: {error}")

        await asyncio.gather(*map(one, jobs))

    async def until(self, condition: Callable[[], Awaitable[bool]], promise: str, told: str) -> None:
        while not await condition():
            if time.monotonic() > self._end_s:
                self._findings.break_of(promise, told)
                return
            await asyncio.sleep(0.2)

    async def turn_ends(self, job: Job) -> None:
        await self._ends(job.run_id, v1.WAIT_UNTIL_TURN_END, job.key)

    async def goes_on(self, job: Job) -> None:
        """The next model call of its conversation works."""
        text = script(text="The end.")
        sent = request(
            job.request.agent_id,
            text,
            request_id=LAST + job.lane,
            conversation_id=job.request.conversation_id or None,
        )
        run = await self._callers.insist(lambda caller: caller.runs.CreateMessageAsync(sent, timeout=CALL_S))
        run = await self._ends(run.id, v1.WAIT_UNTIL_TERMINAL, f"the last message of {job.lane}")
        self._findings.expect("P6", run.stop_reason == v1.STOP_REASON_END_TURN, f"{job.lane} stands: {brief(run)}")

    async def _ends(self, run_id: str, until: v1.WaitUntil.ValueType, about: str) -> v1.Run:
        ask = v1.WaitRunRequest(run_id=run_id, until=until, timeout=seconds(2))

        async def wait(caller: Caller) -> v1.Run:
            return await caller.runs.WaitRun(ask, timeout=2 + CALL_S)

        while (run := await self._callers.insist(wait)).status not in TERMINAL or (
            until == v1.WAIT_UNTIL_TURN_END and run.pending_actions
        ):
            if time.monotonic() > self._end_s:
                promise = "P1" if run.status not in TERMINAL else "P7"
                self._findings.break_of(promise, f"{about} does not end: {brief(run)}")
                break
        return run
