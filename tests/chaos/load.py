"""Sends requests, repeats them, cancels, watches and looks, through all of it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from functools import partial

import grpc
import grpc.aio

from sendoff import v1
from tests.chaos.cluster import CALL_S, Callers, Stuck
from tests.chaos.findings import Findings
from tests.chaos.jobs import Job, Kind
from tests.chaos.plan import Plan
from tests.chaos.rest import Refused, Rest
from tests.faults.caller import Caller, Refusal

_DOUBLED = 0.2
_ALTERED = 0.03


class Load:
    """The requests, and how far they are."""

    def __init__(self, plan: Plan, jobs: Sequence[Job], callers: Callers, rest: Rest, findings: Findings) -> None:
        self.jobs = jobs
        self.acknowledged: list[Job] = []
        self._plan = plan
        self._callers = callers
        self._rest = rest
        self._findings = findings
        self._chance = random.Random(plan.seed + 1)
        self._waiting: asyncio.Queue[Job | None] = asyncio.Queue()
        self._cancels: set[asyncio.Task[None]] = set()

    async def send_all(self) -> None:
        """At an even pace, until each is acknowledged and cancels are answered."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pace())
            for _ in range(self._plan.senders):
                group.create_task(self._send_some())
        await asyncio.gather(*self._cancels)

    async def _pace(self) -> None:
        begun, each_s = time.monotonic(), self._plan.seconds / len(self.jobs)
        for number, job in enumerate(self.jobs):
            await asyncio.sleep(max(0.0, begun + number * each_s - time.monotonic()))
            self._waiting.put_nowait(job)
        for _ in range(self._plan.senders):
            self._waiting.put_nowait(None)

    async def _send_some(self) -> None:
        while (job := await self._waiting.get()) is not None:
            try:
                await self._send(job)
            except (grpc.aio.AioRpcError, Refused, Stuck) as error:
                self._findings.break_of("every request is answered", f"{job.key}: {_told(error)}")

    async def _send(self, job: Job) -> None:
        """As a caller does that must have it, and some as two that do not know of each other."""
        times = 3 if self._chance.random() < _DOUBLED else 1
        senders = [self._accepted(job.request) for _ in range(times)]
        if self._rest.can_send(job):
            senders.append(self._rest.send(job))
        job.begun_s = time.monotonic()
        told = await asyncio.gather(*senders)
        job.acknowledged_s = time.monotonic()
        self._findings.count("requests sent again on purpose", times - 1)
        self._findings.expect("P2", len(set(told)) == 1, f"{job.key} is {told}")
        job.run_id = told[0]
        self.acknowledged.append(job)
        job.accepted.set()
        if job.kind is Kind.CANCELLED:
            self._cancels.add(asyncio.create_task(self._cancel(job)))
        if self._chance.random() < _ALTERED:
            await self._send_altered(job)

    async def _accepted(self, request: v1.CreateMessageAsyncRequest) -> str:
        return (await self._callers.insist(partial(_accept, request))).id

    async def send_again(self, job: Job) -> None:
        """Long after: it is still the same."""
        run_id = await self._accepted(job.request)
        self._findings.expect("P2", run_id == job.run_id, f"{job.key} is {job.run_id} and {run_id}")

    async def _send_altered(self, job: Job) -> None:
        altered = v1.CreateMessageAsyncRequest.FromString(job.request.SerializeToString())
        altered.input.text += " "
        try:
            run_id = await self._accepted(altered)
        except grpc.aio.AioRpcError as error:
            refusal = Refusal(error)
            right = (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_MISMATCH")
            self._findings.expect("P2", right, f"{job.key} altered: {_told(error)}")
            self._findings.count("requests refused because their key had another body")
        else:
            self._findings.break_of("P2", f"{job.key} was taken with another body, as {run_id}")

    async def _cancel(self, job: Job) -> None:
        await asyncio.sleep(self._chance.uniform(0, 2))
        wanted = v1.CancelRunRequest(run_id=job.run_id, reason="chaos")
        try:
            job.cancel_reply = await self._callers.insist(lambda caller: caller.runs.CancelRun(wanted, timeout=CALL_S))
            job.cancelled_s = time.time()
        except (grpc.aio.AioRpcError, Stuck) as error:
            self._findings.break_of("every request is answered", f"cancel of {job.key}: {_told(error)}")


async def _accept(sent: v1.CreateMessageAsyncRequest, caller: Caller) -> v1.Run:
    return await caller.runs.CreateMessageAsync(sent, timeout=CALL_S)


def _told(error: Exception) -> str:
    return f"{error.code()} {error.details()}" if isinstance(error, grpc.aio.AioRpcError) else str(error)
