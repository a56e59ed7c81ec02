"""Looks at runs while everything breaks: what was told once must stay true, whoever tells it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

import grpc
import grpc.aio

from sendoff import v1
from tests.chaos.cluster import CALL_S, Callers, Stuck
from tests.chaos.findings import Findings, brief
from tests.chaos.jobs import Job
from tests.chaos.load import Load
from tests.chaos.rest import Rest
from tests.faults.caller import is_passing, seconds
from tests.faults.run_log import TERMINAL, Screen

_LOOK_S = 0.05
_PATIENCE_S = 30.0
_HEARTBEAT_S = 2.0
_SILENCE_S = 8.0
"""A stream that shows nothing for so long, not even a heartbeat, is given up."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A run as it was told once."""

    run: v1.Run
    messages: Sequence[v1.Message]
    """Of a run that had ended."""


def lasting(run: v1.Run) -> v1.Run:
    """What may not change any more once it has ended: all but what is told there of others."""
    kept = v1.Run.FromString(run.SerializeToString())
    kept.ClearField("callback")
    kept.ClearField("continued_by_run_id")
    kept.ClearField("pending_actions")
    kept.ClearField("etag")
    kept.ClearField("expire_time")
    return kept


class Looks:
    """Of samplers, by run, and of watchers."""

    def __init__(self, load: Load, callers: Callers, rest: Rest, findings: Findings, seed: int) -> None:
        self.rest = rest
        self.seen: dict[str, Seen] = {}
        self.screens: dict[str, Screen] = {}
        self._load = load
        self._callers = callers
        self._findings = findings
        self._chance = random.Random(seed)
        self._watching: set[asyncio.Task[None]] = set()

    async def sample(self) -> None:
        """Look at one run after the other, old ones and new ones, for ever."""
        while True:
            await asyncio.sleep(_LOOK_S)
            if jobs := self._load.acknowledged:
                job = self._chance.choice(jobs if self._chance.random() < 0.5 else jobs[-10:])
                try:
                    await self._look(job)
                except (grpc.aio.AioRpcError, Stuck) as error:
                    self._findings.break_of("P1", f"{job.key}, {job.run_id}: {error}")

    async def _look(self, job: Job) -> None:
        before = self.seen.get(job.run_id)
        run = await self._callers.insist(
            lambda caller: caller.runs.GetRun(v1.GetRunRequest(run_id=job.run_id), timeout=CALL_S)
        )
        self._findings.count("looks at runs")
        messages: Sequence[v1.Message] = ()
        if run.status in TERMINAL:
            ask = v1.ListRunMessagesRequest(run_id=job.run_id, page_size=1000)
            page = await self._callers.insist(lambda caller: caller.runs.ListRunMessages(ask, timeout=CALL_S))
            messages = list(page.messages)
        if before is not None:
            self.compare(before, Seen(run, messages))
        self.seen[job.run_id] = Seen(run, messages)

    def compare(self, before: Seen, now: Seen) -> None:
        """What came later says the same, or more."""
        if before.run.status in TERMINAL:
            same = lasting(before.run) == lasting(now.run)
            self._findings.expect("P4", same, f"{brief(before.run)} became {brief(now.run)}")
            self._findings.expect("P4", before.messages == now.messages, f"messages of {now.run.id} changed")
        else:
            forward = before.run.status <= now.run.status and before.run.attempt <= now.run.attempt
            forward &= before.run.last_sequence <= now.run.last_sequence
            self._findings.expect("P5", forward, f"{brief(before.run)} went back to {brief(now.run)}")

    def watch(self, jobs: Sequence[Job], by_rest: Sequence[Job]) -> None:
        """From now on, each from its accept to its end."""
        self._watching |= {asyncio.create_task(self._watch(job)) for job in jobs}
        self._watching |= {asyncio.create_task(self.rest.follow(job)) for job in by_rest}

    async def end_watching(self) -> None:
        """Once all runs have ended watchers soon know it."""
        _, waiting = await asyncio.wait(self._watching, timeout=_PATIENCE_S)
        for task in waiting:
            task.cancel()
        self._findings.expect("P5", not waiting, f"{len(waiting)} watchers never saw the end")

    async def _watch(self, job: Job) -> None:
        """Follow a run over as many streams as it takes."""
        await job.accepted.wait()
        screen = self.screens[job.run_id] = Screen()
        while not screen.finished:
            screen.reconnect()
            try:
                await self._follow(screen, job)
            except AssertionError as error:
                self._findings.break_of("P5", f"watcher of {job.run_id}: {error}")
                return
            except (grpc.aio.AioRpcError, TimeoutError) as error:
                if isinstance(error, grpc.aio.AioRpcError) and not is_passing(error):
                    self._findings.break_of("P5", f"watcher of {job.run_id}: {error.code()} {error.details()}")
                    return
                self._findings.count("streams cut", screen.frames > 0)
                await asyncio.sleep(self._chance.uniform(0.05, 0.3))

    async def _follow(self, screen: Screen, job: Job) -> None:
        """One stream, until it ends or falls silent."""
        stream = self._callers.any().watch(
            job.run_id,
            after_sequence=screen.last_sequence,
            include_deltas=True,
            heartbeat_interval=seconds(_HEARTBEAT_S),
        )
        try:
            while True:
                frame = await asyncio.wait_for(stream.read(), _SILENCE_S)
                if not isinstance(frame, v1.WatchRunResponse):
                    assert screen.end is not None, "a stream ended without telling why"
                    return
                screen.show(frame)
        finally:
            stream.cancel()
