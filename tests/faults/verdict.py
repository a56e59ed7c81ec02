"""What must be so of all runs once they have ended, whatever happened meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from sendoff import v1
from tests.faults.caller import Caller
from tests.faults.run_log import Screen, check_log, texts

_AT_ONCE = 16


class Sent(Protocol):
    """A request as its caller knows it."""

    key: str
    agent_id: str
    text: str
    answer: str
    begun_s: float
    acknowledged_s: float
    run_id: str

    @property
    def lane(self) -> str:
        """The id of its conversation, or of the agent whose default one it is."""
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """A request with all that the server tells of its run."""

    sent: Sent
    run: v1.Run
    log: Sequence[v1.RunEvent]
    messages: Sequence[v1.Message]

    @property
    def place(self) -> int:
        """The number of the run's turn in its conversation; no run here continues another one."""
        return self.messages[0].position >> 20 + 10


async def check_all(caller: Caller, jobs: Sequence[Sent], watched: Mapping[str, Screen]) -> Counter[str]:
    """Wait for every run, and check all promises; what is worth telling, counted."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def read(job: Sent) -> Result:
        async with limit:
            run = await caller.ended(job.run_id)
            assert run == await caller.get(job.run_id)
            return Result(job, run, await caller.log(job.run_id), await caller.messages(job.run_id))

    results = await asyncio.gather(*(read(job) for job in jobs))
    for result in results:
        _check_one(result)
        if result.run.id in watched:
            _check_watcher(result, watched[result.run.id])
    await _check_one_run_per_request(caller, results)
    _check_order(results)
    return _facts(results)


def _check_one(result: Result) -> None:
    run, sent = result.run, result.sent
    assert run.status == v1.RUN_STATUS_COMPLETED, run
    assert run.stop_reason == v1.STOP_REASON_END_TURN
    assert run.request_id == sent.key
    assert (run.conversation_id or run.agent_id) == sent.lane
    check_log(run, result.log)
    assert texts(result.messages) == [("user_message", sent.text), ("assistant_message", sent.answer)]
    logged = [event.message for event in result.log if event.HasField("message")]
    assert logged == list(result.messages), "log and conversation tell different messages"


def _check_watcher(result: Result, screen: Screen) -> None:
    assert screen.events == list(result.log), f"a watcher of {result.run.id} saw another log"
    assert screen.messages == list(result.messages)


async def _check_one_run_per_request(caller: Caller, results: Sequence[Result]) -> None:
    """As many runs as requests, and under each key the one that was acknowledged."""
    acknowledged = {result.run.id for result in results}
    assert len(acknowledged) == len(results), "two requests were told the same run"
    listed = await caller.list_all(page_size=1000)
    assert Counter(run.id for run in listed) == Counter(acknowledged), "runs that nobody asked for, or none"
    by_key = {run.request_id: run.id for run in listed}
    assert by_key == {result.sent.key: result.run.id for result in results}


def _check_order(results: Sequence[Result]) -> None:
    """In each conversation one run after the other, in order of acceptance."""
    lanes: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        lanes[result.sent.lane].append(result)
    for lane in lanes.values():
        lane.sort(key=lambda result: result.place)
        places = [result.place for result in lane]
        assert places == list(range(places[0], places[0] + len(places))), f"places are missing or double: {places}"
        for earlier, later in pairwise(lane):
            _check_no_overlap(earlier, later)
        _check_accept_order(lane)


def _check_no_overlap(earlier: Result, later: Result) -> None:
    ended, started = earlier.run.complete_time.ToNanoseconds(), later.run.start_time.ToNanoseconds()
    assert ended <= started, f"{later.run.id} started before {earlier.run.id} had ended"
    assert earlier.messages[-1].position < later.messages[0].position


def _check_accept_order(lane: Sequence[Result]) -> None:
    """What was acknowledged before another was first sent is in front of it."""
    latest_begun_s = 0.0
    for result in lane:
        assert result.sent.acknowledged_s >= latest_begun_s, f"{result.run.id} is behind one that was sent later"
        latest_begun_s = max(latest_begun_s, result.sent.begun_s)


def _facts(results: Sequence[Result]) -> Counter[str]:
    retractions = sum(event.HasField("message_retracted") for result in results for event in result.log)
    again = sum(result.run.attempt > 1 for result in results)
    return Counter({"runs that a kill met under way": again, "half-written answers retracted": retractions})
