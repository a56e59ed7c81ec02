"""What nobody answers, and what is not started, is settled when its time is over: once, by any replica."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sendoff import v1
from sendoff_server.lifecycle import NOBODY_ANSWERED
from sendoff_server.runs.expiry import PERIOD_S, Expiry
from sendoff_server.store.port import DEFAULT_TENANT
from tests.unit.runs.desk import APPROVAL, CLIENT_TOOL, TIMEOUT_S, Desk, no, open_desk, returned, yes

UNKNOWN = v1.ACTION_KIND_RESOLVE_UNKNOWN_OUTCOME
OVER_S = TIMEOUT_S + 0.001
DENY, FAIL_TURN, APPROVE = v1.ON_TIMEOUT_DENY, v1.ON_TIMEOUT_FAIL_TURN, v1.ON_TIMEOUT_APPROVE


class Queue:
    """Notes which runs are ended, and how."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, v1.StopReason.ValueType, str]] = []

    async def end_queued(
        self, tenant: str, run: v1.Run, reason: v1.StopReason.ValueType, error: v1.RunError | None = None
    ) -> v1.Run | None:
        assert error is not None
        self.ended.append((run.id, reason, error.reason))
        return None


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as opened:
        yield opened


@pytest.fixture
def queue() -> Queue:
    return Queue()


def expiry(desk: Desk, queue: Queue, *, may_approve: bool = True) -> Expiry:
    return Expiry(desk.store, desk.answering, queue, desk.clock, may_approve=may_approve)


async def test_before_its_deadline_nothing_happens_to_an_action(desk: Desk, queue: Queue) -> None:
    await desk.stopped()
    await desk.clock.advance(TIMEOUT_S - 1)
    await expiry(desk, queue).look()
    assert await desk.store.claim(1) == []


@pytest.mark.parametrize(
    ("kind", "on_timeout", "may_approve", "approved"),
    [
        (APPROVAL, DENY, True, False),
        (APPROVAL, FAIL_TURN, True, False),
        (APPROVAL, APPROVE, True, True),
        (APPROVAL, APPROVE, False, False),
        (CLIENT_TOOL, DENY, True, False),
        (CLIENT_TOOL, APPROVE, True, False),
        (UNKNOWN, APPROVE, True, False),
    ],
)
async def test_at_its_deadline_the_server_gives_the_answer_that_was_asked_for(
    kind: v1.ActionKind.ValueType,
    on_timeout: v1.OnTimeout.ValueType,
    may_approve: bool,
    approved: bool,
    desk: Desk,
    queue: Queue,
) -> None:
    stopped = await desk.stopped(desk.action(kind=kind, on_timeout=on_timeout))
    await desk.clock.advance(OVER_S)
    await expiry(desk, queue, may_approve=may_approve).look()
    claim = await desk.claim()
    assert (claim.run.continues_run_id, claim.run.turn_id) == (stopped.id, stopped.turn_id)
    answer = v1.Approval(tool_call_id="call-1", approve=approved, reason=NOBODY_ANSWERED)
    assert await desk.decisions(claim.run) == [v1.ActionDecision(approval=answer)]


async def test_answers_that_were_given_in_time_count(desk: Desk, queue: Queue) -> None:
    await desk.stopped(desk.action("a"), desk.action("b"), desk.action("c", CLIENT_TOOL))
    await desk.respond(yes("a"), returned("c"))
    await desk.clock.advance(OVER_S)
    await expiry(desk, queue).look()
    assert await desk.decisions((await desk.claim()).run) == [yes("a"), no("b", NOBODY_ANSWERED), returned("c")]


async def test_many_who_look_at_once_settle_once(desk: Desk, queue: Queue) -> None:
    stopped = await desk.stopped()
    await desk.clock.advance(OVER_S)
    await asyncio.gather(*(expiry(desk, queue).look() for _ in range(5)))
    claim = await desk.claim()
    await desk.settle(claim)
    await expiry(desk, queue).look()
    assert await desk.store.claim(1) == []
    assert (await desk.run(stopped.id)).continued_by_run_id == claim.run.id


async def test_a_continuation_of_the_server_that_is_cancelled_in_the_queue_is_made_again(
    desk: Desk, queue: Queue
) -> None:
    await desk.stopped()
    await desk.clock.advance(OVER_S)
    await expiry(desk, queue).look()
    (first,) = await desk.store.claim(1)
    await desk.end_queued(first.run)
    await expiry(desk, queue).look()
    stopped = await desk.run(first.run.continues_run_id)
    assert stopped.continued_by_run_id not in ("", first.run.id)


async def test_messages_that_wait_for_the_answer_go_on_after_the_deadline(desk: Desk, queue: Queue) -> None:
    await desk.stopped()
    waits = v1.Scheduling(when_pending=v1.WHEN_PENDING_ENQUEUE)
    queued = await desk.accept(desk.message(scheduling=waits))
    assert await desk.store.claim(1) == []
    await desk.clock.advance(OVER_S)
    await expiry(desk, queue).look()
    await desk.settle(await desk.claim())
    assert (await desk.claim()).run.id == queued.id


async def test_a_run_that_is_not_started_in_time_is_ended(desk: Desk, queue: Queue) -> None:
    await desk.accept(desk.message())
    limits = v1.Limits()
    limits.queue_ttl.FromSeconds(5)
    hasty = await desk.accept(desk.message(limits=limits))
    look = expiry(desk, queue)
    await desk.clock.advance(4.999)
    await look.look()
    assert queue.ended == []
    await desk.clock.advance(0.002)
    await look.look()
    assert queue.ended == [(hasty.id, v1.STOP_REASON_EXPIRED_IN_QUEUE, "EXPIRED_IN_QUEUE")]


async def test_it_looks_every_second(desk: Desk, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = asyncio.Semaphore(0)
    overdue = desk.store.overdue_runs

    async def noted(*args: Any) -> Any:
        looked.release()
        return await overdue(*args)

    monkeypatch.setattr(desk.store, "overdue_runs", noted)
    async with asyncio.timeout(10), expiry(desk, queue).running():
        for _ in range(3):
            await looked.acquire()
            while not desk.clock.sleepers:  # noqa: ASYNC110  # the clock tells nobody
                await asyncio.sleep(0)  # until it sleeps again
            await desk.clock.advance(PERIOD_S)


async def test_one_that_cannot_be_settled_does_not_keep_the_others_waiting(
    desk: Desk, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.stopped()
    await desk.clock.advance(OVER_S)
    (real,) = await desk.store.expired_actions(desk.clock.now_ns(), 10)

    async def with_one_that_is_gone(now_ns: int, limit: int) -> list[tuple[str, str, str]]:
        return [(DEFAULT_TENANT, "agent-gone", "run-gone"), real]

    monkeypatch.setattr(desk.store, "expired_actions", with_one_that_is_gone)
    await expiry(desk, queue).look()
    assert (await desk.claim()).run.continues_run_id == real[2]
