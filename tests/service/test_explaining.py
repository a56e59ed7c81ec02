"""ExplainRun names what really keeps a run: for every reason there is, and until just that is taken away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server import app
from sendoff_server.clock import SECOND_NS, SystemClock, nanoseconds
from sendoff_server.runs.queue_stats import percentile
from sendoff_server.settings import ProviderSettings, Settings
from sendoff_server.store.port import LEASE_S
from tests.contract.databases import Database, PostgresDatabase, SqliteDatabase
from tests.faults.caller import PATIENCE_S, Caller, calling, patiently, refused, script, seconds
from tests.faults.gated import at, hold_calls
from tests.fixtures.clock import ManualClock
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve
from tests.fixtures.tools import Workshop, open_workshop
from tests.service.answering import approve, furnish, respond, stopped

HELD = "held in the middle"
UNKNOWN_RUN = "run-00000000-0000-4000-8000-000000000000"

Start = Callable[..., AbstractAsyncContextManager[app.Server]]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    return hold_calls(monkeypatch, at(1, HELD))


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = open_workshop(monkeypatch)
    furnish(made)
    return made


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, settings: Settings) -> Database:
    if request.param == "sqlite":
        return SqliteDatabase(settings.database_path)
    database: PostgresDatabase = request.getfixturevalue("postgres")
    return database


@pytest.fixture
def start(serve: Serve, database: Database) -> Start:
    """Starts servers on that database."""
    url = database.dsn if isinstance(database, PostgresDatabase) else ""

    def started(**changes: Any) -> AbstractAsyncContextManager[app.Server]:
        return serve(database_url=url, **changes)

    return started


@pytest.fixture
async def narrow(start: Start, gate: HeldCalls, workshop: Workshop) -> AsyncIterator[Caller]:
    """Of a server with one slot."""
    async with start(max_running=1) as server, calling(server.grpc.address) as caller:
        yield caller


async def explain(caller: Caller, run_id: str) -> v1.ExplainRunResponse:
    """Never at odds with GetRun."""
    told = await caller.runs.ExplainRun(v1.ExplainRunRequest(run_id=run_id), timeout=PATIENCE_S)
    assert told.run == await caller.get(run_id)
    assert told.facts
    return told


async def holding(caller: Caller, gate: HeldCalls, agent: str = "", **fields: Any) -> v1.Run:
    """A run that is in the middle of a model call, and stays there."""
    run = await caller.send(agent or await caller.agent(), script(text=HELD), **fields)
    await patiently(gate.held.get())
    return run


async def test_a_run_behind_others_names_them_and_who_works_on_the_first(narrow: Caller, gate: HeldCalls) -> None:
    agent = await narrow.agent()
    first = await holding(narrow, gate, agent)
    second, third = [await narrow.send(agent, script(text="later")) for _ in range(2)]
    told = await explain(narrow, third.id)
    assert (told.run.wait.reason, told.run.wait.position) == ("CONVERSATION_BUSY", 2)
    assert told.blocking_run_ids == [first.id, second.id]
    assert told.lease.run_id == first.id
    assert told.facts[0] == f"2 runs of its conversation are in front of it; the first of them is {first.id}."
    assert f"{told.lease.replica_id} works on {first.id}" in told.facts[2]

    await narrow.cancel(second.id)
    assert (await explain(narrow, third.id)).blocking_run_ids == [first.id]
    gate.release()
    assert (await narrow.ended(third.id)).status == v1.RUN_STATUS_COMPLETED
    told = await explain(narrow, third.id)
    assert (list(told.blocking_run_ids), told.HasField("lease")) == ([], False)
    assert list(told.facts) == ["It has ended: COMPLETED, END_TURN."]


async def test_a_run_without_a_slot_names_who_has_it_and_what_goes_before_it(narrow: Caller, gate: HeldCalls) -> None:
    holder = await holding(narrow, gate)
    acme = v1.Scheduling(fairness_key="acme", priority=2)
    first, second = [await narrow.send(await narrow.agent(), script(text="x"), scheduling=acme) for _ in range(2)]
    await narrow.send(await narrow.agent(), script(text="x"), scheduling=v1.Scheduling(fairness_key="other"))
    told = await explain(narrow, second.id)
    assert (told.run.phase, told.run.wait.reason) == (v1.RUN_PHASE_QUEUED, "NO_SLOT")
    assert told.blocking_run_ids == [holder.id]
    queue = told.slot_queue
    assert (queue.fairness_key, queue.priority, queue.ahead, queue.keys) == ("acme", 2, 1, 2)
    assert (queue.slots, queue.slots_used) == (1, 1)
    assert nanoseconds(queue.ready_time) >= nanoseconds(first.create_time)
    assert "1 of 1 are taken, none is free." in told.facts[0]
    assert told.facts[1] == "Of the conversations with fairness key 'acme' that wait, 1 go before it."
    assert not told.HasField("lease")

    await narrow.cancel(first.id)
    assert (await explain(narrow, second.id)).slot_queue.ahead == 0
    await narrow.cancel(holder.id)
    assert (await narrow.ended(second.id)).status == v1.RUN_STATUS_COMPLETED


async def test_a_run_before_its_time_tells_it_and_is_started_once_it_comes(narrow: Caller, database: Database) -> None:
    at_time = Timestamp()
    at_time.FromNanoseconds(SystemClock().now_ns() + 3_600 * SECOND_NS)
    run = await narrow.send(
        await narrow.agent(), script(text="later"), scheduling=v1.Scheduling(start_time=at_time), limits=QUEUE_TTL
    )
    told = await explain(narrow, run.id)
    assert (told.run.phase, told.run.wait.reason) == (v1.RUN_PHASE_SCHEDULED, "START_TIME")
    assert "It is not started before " in told.facts[0]
    assert (list(told.blocking_run_ids), told.HasField("slot_queue"), told.HasField("lease")) == ([], False, False)
    assert nanoseconds(told.latest_start_time) // SECOND_NS == nanoseconds(at_time) // SECOND_NS + 60
    assert "EXPIRED_IN_QUEUE" in told.facts[-1]

    database.let_start_times_come()
    assert (await narrow.ended(run.id)).status == v1.RUN_STATUS_COMPLETED


QUEUE_TTL = v1.Limits(queue_ttl=seconds(60))


async def test_a_run_that_waits_for_answers_names_who_asked_for_what_and_until_when(
    narrow: Caller, gate: HeldCalls
) -> None:
    agent = await narrow.agent()
    asked = await stopped(narrow, agent, "risky")
    patient = v1.Scheduling(when_pending=v1.WHEN_PENDING_ENQUEUE)
    waits, behind = [await narrow.send(agent, script(text="then"), scheduling=patient) for _ in range(2)]
    told = await explain(narrow, waits.id)
    assert (told.run.phase, told.run.wait.reason) == (v1.RUN_PHASE_BLOCKED, "ACTION_PENDING")
    assert told.blocking_run_ids == [asked.id]
    assert list(told.pending_actions) == list(asked.pending_actions)
    assert asked.id in told.facts[0]
    assert "risky" in told.facts[0]
    later = await explain(narrow, behind.id)
    assert (list(later.blocking_run_ids), later.pending_actions) == ([waits.id], told.pending_actions)
    ended = await explain(narrow, asked.id)
    assert ended.pending_actions == told.pending_actions
    assert ended.facts[0] == "It has ended: COMPLETED, REQUIRES_APPROVAL."

    await respond(narrow, agent, approve(asked))
    assert (await narrow.ended(behind.id)).status == v1.RUN_STATUS_COMPLETED
    assert not (await explain(narrow, asked.id)).pending_actions


@pytest.mark.parametrize("of", ["agent", "key", "tenant"])
async def test_a_paused_run_names_the_pause_and_starts_once_that_is_lifted(narrow: Caller, of: str) -> None:
    agent = await narrow.agent()
    scope: dict[str, Any] = {"agent": {"agent_id": agent}, "key": {"fairness_key": "acme"}, "tenant": {}}[of]
    pause = await narrow.ops.PauseDispatch(v1.PauseDispatchRequest(reason="night", **scope), timeout=PATIENCE_S)
    acme = v1.Scheduling(fairness_key="acme")
    run, behind = [await narrow.send(agent, script(text="x"), scheduling=acme) for _ in range(2)]
    told = await explain(narrow, run.id)
    assert (told.run.phase, told.run.wait.reason) == (v1.RUN_PHASE_BLOCKED, "DISPATCH_PAUSED")
    assert (told.pause, list(told.blocking_run_ids), told.HasField("slot_queue")) == (pause, [], False)
    assert told.facts[0].startswith("Dispatch is paused for ")
    assert "'night'" in told.facts[0]
    later = await explain(narrow, behind.id)
    assert (list(later.blocking_run_ids), later.pause) == ([run.id], pause)
    counted = await stats(narrow)
    assert [_told(bucket) for bucket in counted.buckets] == [("acme", 3, 0, 2, 0, 0)]
    assert list(counted.pauses) == [pause]

    await narrow.ops.ResumeDispatch(v1.ResumeDispatchRequest(**scope), timeout=PATIENCE_S)
    assert (await narrow.ended(behind.id)).status == v1.RUN_STATUS_COMPLETED
    assert not (await explain(narrow, run.id)).HasField("pause")
    assert not (await stats(narrow)).pauses


@pytest.mark.parametrize("setting", ["max_running_per_agent", "max_running_per_tenant"])
async def test_a_run_at_a_cap_names_the_runs_that_count_and_starts_once_one_has_ended(
    start: Start, gate: HeldCalls, setting: str
) -> None:
    async with start(**{setting: 1}) as server, calling(server.grpc.address) as caller:
        agent = await caller.agent()
        counted = await holding(caller, gate, agent)
        waits = await caller.runs.CreateMessageAsync(
            request_in(await caller.conversation(agent), script(text="x")), timeout=PATIENCE_S
        )
        told = await explain(caller, waits.id)
        of_agent = setting == "max_running_per_agent"
        assert told.run.wait.reason == ("AGENT_AT_CAP" if of_agent else "TENANT_AT_CAP")
        assert told.cap == v1.RunCap(agent_id=agent if of_agent else None, most=1, running=1)
        assert (list(told.blocking_run_ids), told.HasField("slot_queue")) == ([counted.id], False)
        seen = await stats(caller)
        assert (seen.HasField("max_running_per_agent"), seen.HasField("max_running_per_tenant")) == (
            of_agent,
            not of_agent,
        )
        assert [_told(bucket)[2:] for bucket in seen.buckets] == [(0, 1, 0, 1)]

        gate.release()
        assert (await caller.ended(waits.id)).status == v1.RUN_STATUS_COMPLETED
        assert not (await explain(caller, waits.id)).HasField("cap")


def request_in(conversation_id: str, text: str) -> v1.CreateMessageAsyncRequest:
    return v1.CreateMessageAsyncRequest(conversation_id=conversation_id, input=v1.Content(text=text))


async def test_a_run_under_way_tells_who_works_on_it(narrow: Caller, gate: HeldCalls) -> None:
    run = await holding(narrow, gate)
    told = await explain(narrow, run.id)
    assert (told.run.status, told.lease.run_id) == (v1.RUN_STATUS_RUNNING, run.id)
    assert nanoseconds(told.lease.expire_time) - nanoseconds(told.lease.beat_time) == LEASE_S * SECOND_NS
    assert (list(told.blocking_run_ids), told.HasField("slot_queue")) == ([], False)
    assert told.facts[0].endswith("CALLING_MODEL.")
    gate.release()
    await narrow.ended(run.id)


async def test_a_replica_that_is_silent_for_longer_than_its_lease_is_told_of(
    start: Start, gate: HeldCalls, database: Database
) -> None:
    """Beats come every two seconds, so that the next one may undo it; then it is made to look so again."""
    async with start() as server, calling(server.grpc.address) as caller:
        run = await holding(caller, gate)
        for _ in range(5):
            database.age_beats(LEASE_S + 1)
            told = await caller.runs.ExplainRun(v1.ExplainRunRequest(run_id=run.id), timeout=PATIENCE_S)
            if "takes over now" in told.facts[-1]:
                break
        assert told.facts[-1].startswith(f"{told.lease.replica_id}, which worked on it, was last heard of at ")
        gate.release()


async def test_a_run_whose_model_call_is_repeated_later_tells_when(settings: Settings, workshop: Workshop) -> None:
    clock = ManualClock()
    async with (
        app.running(settings, ProviderSettings.model_construct(), clock) as server,
        calling(server.grpc.address) as caller,
    ):
        failing = script(text="at last", error={"kind": "overloaded", "attempts": 1, "retry_after_s": 30})
        run = await caller.send(await caller.agent(), failing)
        while not (waiting := await caller.get(run.id)).HasField("wait"):
            await caller.changed(run.id, waiting.last_sequence)
        told = await explain(caller, run.id)
        assert told.run.wait.reason == "RETRY_BACKOFF"
        assert told.facts[0].startswith("It is under way; its model call failed and is repeated at ")
        await clock.advance(60)
        assert (await caller.ended(run.id)).status == v1.RUN_STATUS_COMPLETED
        assert not (await explain(caller, run.id)).run.HasField("wait")


async def test_a_run_that_does_not_exist_has_no_explanation(narrow: Caller) -> None:
    told = await refused(narrow.runs.ExplainRun(v1.ExplainRunRequest(run_id=UNKNOWN_RUN), timeout=PATIENCE_S))
    assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")


# ---- how much waits ----


async def stats(caller: Caller, **fields: Any) -> v1.GetQueueStatsResponse:
    return await caller.ops.GetQueueStats(v1.GetQueueStatsRequest(**fields), timeout=PATIENCE_S)


async def test_what_waits_is_told_by_key_and_priority_and_who_works(narrow: Caller, gate: HeldCalls) -> None:
    agent = await narrow.agent()
    holder = await holding(narrow, gate, agent)
    behind = await narrow.send(agent, script(text="x"))
    acme = v1.Scheduling(fairness_key="acme", priority=1)
    runs = [await narrow.send(await narrow.agent(), script(text="x"), scheduling=acme) for _ in range(3)]
    told = await stats(narrow)
    assert [_told(bucket) for bucket in told.buckets] == [("acme", 1, 3, 0, 0, 0), (None, 3, 0, 1, 0, 1)]
    assert told.buckets[0].oldest_age.ToTimedelta().total_seconds() > 0
    assert not told.buckets[1].HasField("oldest_age")
    assert (told.slots, told.slots_used, told.truncated) == (1, 1, False)
    (replica,) = told.replicas
    assert (replica.id, replica.slots) == ((await explain(narrow, holder.id)).lease.replica_id, 1)
    of_acme = await stats(narrow, fairness_key="acme")
    assert [_told(bucket) for bucket in of_acme.buckets] == [("acme", 1, 3, 0, 0, 0)]
    assert [_told(bucket) for bucket in (await stats(narrow, fairness_key="")).buckets] == [(None, 3, 0, 1, 0, 1)]
    assert not (await stats(narrow, fairness_key="nobody's")).buckets

    gate.release()
    for run in (*runs, behind):
        assert (await narrow.ended(run.id)).status == v1.RUN_STATUS_COMPLETED
    told = await stats(narrow)
    assert (list(told.buckets), told.slots_used) == ([], 0)
    waits = {each.fairness_key: each for each in told.slot_waits}
    assert {key: each.runs for key, each in waits.items()} == {"acme": 3, "": 2}
    assert waits["acme"].p50.ToNanoseconds() <= waits["acme"].p95.ToNanoseconds() <= waits["acme"].max.ToNanoseconds()
    started = [await narrow.get(run.id) for run in runs]
    longest = max(nanoseconds(run.start_time) - nanoseconds(run.create_time) for run in started)
    assert waits["acme"].max.ToNanoseconds() == longest
    assert [each.fairness_key for each in (await stats(narrow, fairness_key="acme")).slot_waits] == ["acme"]


def _told(bucket: v1.QueueBucket) -> tuple[str | None, int, int, int, int, int]:
    key = bucket.fairness_key if bucket.HasField("fairness_key") else None
    return key, bucket.priority, bucket.queued, bucket.blocked, bucket.scheduled, bucket.running


async def test_all_replicas_are_told_whichever_is_asked(serve: Serve, postgres: PostgresDatabase) -> None:
    async with (
        serve(database_url=postgres.dsn, max_running=3) as one,
        serve(database_url=postgres.dsn, max_running=4) as two,
        calling(one.grpc.address) as here,
        calling(two.grpc.address) as there,
    ):
        for caller in (here, there):
            told = await stats(caller)
            assert (sorted(each.slots for each in told.replicas), told.slots) == ([3, 4], 7)


def test_percentiles_are_values_that_were_there() -> None:
    assert [percentile(range(1, 101), percent) for percent in (50, 95, 100)] == [50, 95, 100]
    assert [percentile([5, 9], percent) for percent in (50, 95)] == [5, 9]
    assert percentile([7], 50) == 7
