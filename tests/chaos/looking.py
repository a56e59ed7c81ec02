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
from tests.faults.caller import is_passing, seconds
from tests.faults.run_log import TERMINAL, Screen

_LOOK_S = 0.05
_HEARTBEAT_S = 2.0
_SILENCE_S = 8.0
"""A stream that shows nothing for so long, not even a heartbeat, is given up."""
_CHANGES_LATER = ("callback", "continued_by_run_id", "pending_actions", "etag", "expire_time")
"""What is told of a run, and tells of others."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A run as it was told once."""

    run: v1.Run
    messages: Sequence[v1.Message]
    """Of a run that had ended."""


def lasting(run: v1.Run) -> v1.Run:
    """What may not change any more once it has ended."""
    kept = v1.Run.FromString(run.SerializeToString())
    for field in _CHANGES_LATER:
        kept.ClearField(field)
    return kept


class Looks:
    """Of samplers, by run, and of watchers."""

    def __init__(self, load: Load, callers: Callers, findings: Findings, seed: int) -> None:
        self.seen: dict[str, Seen] = {}
        self.screens: dict[str, Screen] = {}
        self._load = load
        self._callers = callers
        self._findings = findings
        self._chance = random.Random(seed)

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

    async def watch(self, job: Job) -> None:
        """Follow a run from its accept to its end, over as many streams as it takes."""
        while not job.run_id:
            await asyncio.sleep(_LOOK_S)
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
