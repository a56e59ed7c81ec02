"""Every promise, checked from the outside once all has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from sendoff import v1
from tests.chaos.findings import Findings, brief
from tests.chaos.hooks import Hooks
from tests.chaos.jobs import LAST, Job
from tests.chaos.looking import Looks, Seen, lasting
from tests.chaos.outcomes import Outcomes
from tests.chaos.outside import Ledger
from tests.chaos.replica import Replica
from tests.chaos.world import Told, World
from tests.faults.run_log import Screen, check_log
from tests.service.history_checks import faults_of_history

_TURN_SHIFT = 30
"""Positions of a turn's messages differ below it."""
_STATUSES = {v1.RUN_STATUS_COMPLETED: "completed", v1.RUN_STATUS_FAILED: "failed", v1.RUN_STATUS_CANCELLED: "cancelled"}


def check(world: World, jobs: Sequence[Job], looks: Looks, hooks: Hooks, ledger: Ledger, findings: Findings) -> None:
    """Hold what the replicas tell now against what was asked, acknowledged, seen and counted outside."""
    known = [job for job in jobs if _is_there(job, world, findings)]
    checks = _Checks(world, {job.run_id: job for job in known}, findings)
    checks.runs()
    checks.requests()
    checks.order()
    checks.histories()
    checks.looks(looks)
    checks.callbacks(hooks)
    outcomes = Outcomes(world, ledger, findings)
    for job in known:
        outcomes.check(job)


def _is_there(job: Job, world: World, findings: Findings) -> bool:
    findings.expect("P1", job.run_id in world.runs, f"{job.key} was acknowledged as {job.run_id} and is lost")
    return job.run_id in world.runs


class _Checks:
    def __init__(self, world: World, jobs: dict[str, Job], findings: Findings) -> None:
        self._world = world
        self._jobs = jobs
        self._findings = findings

    def runs(self) -> None:
        """Each has ended, its log is whole, and its messages are those of its log."""
        for told in self._world.runs.values():
            with self._findings.holding("P5", told.run.id):
                assert told.log, "no log"
                check_log(told.log[-1].finished.run, told.log)
                end = told.log[-1].finished.run
                assert lasting(end) == lasting(told.run), f"{brief(end)} is not {brief(told.run)}"
                if told.started:  # else its input is told, which never came into the conversation
                    assert logged(told) == list(told.messages), "log and run tell different messages"
            self._findings.count(f"runs {_STATUSES.get(told.run.status, 'that have not ended')}")
            self._findings.count("runs that were taken over", told.run.attempt > 1)
            self._findings.count("events", len(told.log))

    def requests(self) -> None:
        """As many runs as requests, and those that continue them."""
        keys = Counter(told.run.request_id for told in self._world.runs.values() if told.run.request_id)
        twice = [key for key, count in keys.items() if count > 1]
        self._findings.expect("P2", not twice, f"more than one run for {twice}")
        for told in self._world.runs.values():
            run = told.run
            asked = run.id in self._jobs or run.continues_run_id or run.request_id.startswith(LAST)
            self._findings.expect("P2", bool(asked), f"nobody asked for {brief(run)}")

    def order(self) -> None:
        for lane in self._world.by_lane().values():
            for earlier, later in pairwise(lane):
                self._check_no_overlap(earlier, later)
            self._check_accept_order(lane)

    def _check_no_overlap(self, earlier: Told, later: Told) -> None:
        ended, started = earlier.run.complete_time.ToNanoseconds(), later.run.start_time.ToNanoseconds()
        told = f"{later.run.id} started before {earlier.run.id} had ended"
        self._findings.expect("P3", ended <= started, told)
        if earlier.messages and later.messages:
            behind = earlier.messages[-1].position < later.messages[0].position
            self._findings.expect("P3", behind, f"{later.run.id} is in front of {earlier.run.id}")

    def _check_accept_order(self, lane: Sequence[Told]) -> None:
        """What was acknowledged before another was first sent goes before it."""
        latest_begun_s = 0.0
        for told in lane:
            if job := self._jobs.get(told.run.id):
                ordered = job.acknowledged_s >= latest_begun_s
                self._findings.expect("P3", ordered, f"{told.run.id} went behind one that was sent later")
                latest_begun_s = max(latest_begun_s, job.begun_s)

    def histories(self) -> None:
        """Each conversation is what its runs said, in order, each message once, and a model takes it."""
        said = self._world.by_lane()
        for lane, messages in self._world.lanes.items():
            faults = faults_of_history(messages)
            self._findings.expect("P6", not faults, f"{lane}: {faults}")
            ids = [(message.id, message.position) for message in messages]
            self._findings.expect("P5", len(set(ids)) == len(ids), f"{lane} has a message twice")
            wanted = sorted((m.position, m.id) for told in said.get(lane, []) for m in told.messages)
            listed = [(message.position, message.id) for message in messages]
            self._findings.expect("P5", wanted == listed, f"{lane} and its runs tell different messages")

    def looks(self, looks: Looks) -> None:
        """What was seen on the way is what is told in the end."""
        for run_id, screen in looks.screens.items():
            self._check_screen(run_id, screen)
        for run_id in looks.rest.followed:
            if told := self._world.runs.get(run_id):
                looks.rest.check(run_id, told.log)
        for run_id, seen in looks.seen.items():
            if told := self._world.runs.get(run_id):
                looks.compare(seen, Seen(told.run, list(told.messages)))

    def _check_screen(self, run_id: str, screen: Screen) -> None:
        if told := self._world.runs.get(run_id):
            self._findings.count("deltas seen", screen.deltas)
            same = screen.events == list(told.log) and screen.messages == logged(told)
            self._findings.expect("P5", same, f"a watcher of {run_id} saw {len(screen.events)} of {len(told.log)}")

    def callbacks(self, hooks: Hooks) -> None:
        for run_id, told in hooks.told.items():
            known = self._world.runs.get(run_id)
            self._findings.expect("P9", known is not None, f"a callback of {run_id}, which there is not")
            if known is not None:
                same = told["status"] == _STATUSES.get(known.run.status)
                self._findings.expect("P9", same, f"{run_id} is told as {told['status']}: {brief(known.run)}")
            self._findings.expect("P9", len(hooks.ids[run_id]) == 1, f"{run_id} has deliveries {hooks.ids[run_id]}")
        for job in self._jobs.values():
            if job.request.HasField("callback_url"):
                self._findings.expect("P9", job.run_id in hooks.told, f"{job.run_id} was never called back")
        self._findings.count("callbacks", len(hooks.told))
        self._findings.count("callbacks taken again", hooks.times.total() - len(hooks.told))


def logged(told: Told) -> list[v1.Message]:
    return [event.message for event in told.log if event.HasField("message")]


_LEAST_SAMPLES = 12
_MOST_GROWTH_BYTES = 48 << 20


def check_memory(replicas: Sequence[Replica], findings: Findings) -> None:
    """Of lives that were long enough to tell: the last third takes about what the first does."""
    for replica in replicas:
        for life in replica.lives:
            if len(life) >= _LEAST_SAMPLES:
                third = len(life) // 3
                first, last = max(life[:third]), max(life[-third:])
                told = f"{replica.name} grew from {first >> 20} to {last >> 20} MiB in {len(life)} looks"
                findings.expect("P11", last - first < _MOST_GROWTH_BYTES, told)
