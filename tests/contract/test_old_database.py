"""A SQLite database of the first release, whose runs were numbered 1, 2, 3 in their lanes, goes on."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import timestamp
from sendoff_server.store.items import AttemptNoted, NoteAttempt, NothingPending
from sendoff_server.store.port import POSITION_SHIFT, TURN_SHIFT
from sendoff_server.store.questions import (
    AgentQuery,
    DeliveryQuery,
    MessageQuery,
    MessageScope,
    Outbox,
    Queued,
    StepQuery,
    TagQuery,
)
from sendoff_server.store.sqlite import migrations
from sendoff_server.store.sqlite.connection import connect
from tests.contract.databases import SqliteDatabase
from tests.contract.making import (
    accept,
    after,
    agent,
    claim_of,
    finish,
    flush_one,
    message,
    next_of,
    progress,
    run_to_end,
    settle,
    start,
    stop,
)

TENANT = "default"
CREATED, RUNNING, ENDED = v1.RUN_STATUS_CREATED, v1.RUN_STATUS_RUNNING, v1.RUN_STATUS_COMPLETED
CANCELLED = v1.RUN_STATUS_CANCELLED


class OldDatabase:
    """Rows as the first release wrote them."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, schema: int = 2) -> None:
        self.path = path
        self._connection = connect(path)
        with monkeypatch.context() as patch:
            known = migrations.known()[:schema]
            patch.setattr(migrations, "known", lambda: known)
            migrations.migrate(self._connection, 1)

    def __enter__(self) -> OldDatabase:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def write(self, statement: str, *values: object) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)

    def lane(self, *statuses: v1.RunStatus.ValueType, last_seq: int, **fields: Any) -> tuple[str, list[v1.Run]]:
        """A lane with runs of these statuses, the last of which has that seq, of an agent with these fields."""
        made = agent()
        made.MergeFrom(v1.Agent(**fields))
        row = (made.id, TENANT, 1, made.etag, b"", made.SerializeToString())
        (agent_no,) = self.write(
            "INSERT INTO agent (id, tenant, create_time_ns, etag, fingerprint, body) "
            "VALUES (?, ?, ?, ?, ?, ?) RETURNING no",
            *row,
        ).fetchone()
        first = last_seq - len(statuses) + 1
        open_seqs = [first + place for place, status in enumerate(statuses) if status in (CREATED, RUNNING)]
        (lane_no,) = self.write(
            "INSERT INTO lane (id, tenant, agent_no, last_seq, head_seq, open) VALUES (?, ?, ?, ?, ?, ?) RETURNING no",
            *(made.id, TENANT, agent_no, last_seq, open_seqs[0] if open_seqs else last_seq + 1, len(open_seqs)),
        ).fetchone()
        return made.id, [self._run(made.id, lane_no, first + place, status) for place, status in enumerate(statuses)]

    def _run(self, lane: str, lane_no: int, seq: int, status: v1.RunStatus.ValueType) -> v1.Run:
        run = v1.Run(id=ids.new("run"), agent_id=lane, status=status, last_sequence=1, etag="1")
        if status not in (CREATED, RUNNING):
            run.complete_time.FromSeconds(seq)
        (no,) = self.write(
            "INSERT INTO run (id, tenant, lane_no, seq, create_time_ns, status, last_sequence, fingerprint, body) "
            "VALUES (?, ?, ?, ?, 1, ?, 1, x'', ?) RETURNING no",
            *(run.id, TENANT, lane_no, seq, status, run.SerializeToString()),
        ).fetchone()
        self.write("INSERT INTO run_log (key, body) VALUES (?, ?)", no << 20, f"request {seq}".encode())
        if status in (ENDED, RUNNING):
            written = message(run, seq << POSITION_SHIFT, f"message {seq}")
            step = v1.Step(id=ids.derive("step", run.id, 0), run_id=run.id)
            self.write("INSERT INTO message (key, body) VALUES (?, ?)", no << 20, written.SerializeToString())
            self.write("INSERT INTO step (key, body) VALUES (?, ?)", no << 20, step.SerializeToString())
        return run


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OldDatabase:
    return OldDatabase(tmp_path / "store.db", monkeypatch)


@pytest.mark.parametrize("last_seq", [4, 1022, 1023, 1024, 1025, 1026, 1027, 5000])
async def test_runs_go_on_in_their_order_and_can_be_continued(old: OldDatabase, last_seq: int) -> None:
    with old:
        lane, runs = old.lane(ENDED, RUNNING, CREATED, CREATED, last_seq=last_seq)
    async with SqliteDatabase(old.path).alone() as store:
        assert await store.queued(runs[3].id) == Queued(2, runs[1].id)
        (claim,) = await store.claim(10)
        assert (claim.run, claim.seq) == (runs[1], last_seq - 2)
        new = accept(lane)
        await flush_one(store, new)
        waits = await next_of(store, stop(claim))
        assert waits is not None
        assert (waits.run, waits.paused_by) == (runs[2], runs[1].id)
        answer = accept(lane, continues=runs[1].id)
        assert await flush_one(store, answer) == NothingPending(), "one that goes on is at work"
        await flush_one(store, started := settle(waits))
        stopped = stop(after(waits, started))
        following = await next_of(store, stopped)
        assert following is not None
        assert following.run == runs[3]
        last = await run_to_end(store, following)
        assert last is not None
        assert last.run == new.run
        seqs = [claim.seq, waits.seq, following.seq, last.seq]
        assert seqs == sorted(seqs)
        assert all(seq % (1 << TURN_SHIFT) == 0 for seq in seqs[1:])


@pytest.mark.parametrize("last_seq", [1, 1022, 1023, 1024, 1025])
async def test_a_run_with_an_old_number_can_be_continued_in_front_of_new_ones(old: OldDatabase, last_seq: int) -> None:
    with old:
        lane, (run,) = old.lane(RUNNING, last_seq=last_seq)
    async with SqliteDatabase(old.path).alone() as store:
        (claim,) = await store.claim(10)
        assert await next_of(store, stop(claim)) is None
        answer = await claim_of(store, accept(lane, continues=run.id))
        assert answer.seq > last_seq
        await flush_one(store, new := accept(lane))
        await flush_one(store, started := settle(answer))
        following = await next_of(store, stop(after(answer, started)))
        assert following is not None
        assert (following.run, following.paused_by) == (new.run, answer.run.id)
        assert following.seq > answer.seq


async def test_history_steps_and_requests_of_old_runs_are_told(old: OldDatabase) -> None:
    with old:
        lane, runs = old.lane(ENDED, CANCELLED, ENDED, RUNNING, CREATED, last_seq=5)
        idle, _ = old.lane(ENDED, CANCELLED, last_seq=2)
    async with SqliteDatabase(old.path).alone() as store:
        for run in (runs[0], runs[2], runs[3]):
            step = await store.step(TENANT, ids.derive("step", run.id, 0))
            assert step is not None
            assert step.run_id == run.id
        (claim,) = await store.claim(10)
        following = await next_of(store, stop(claim))
        assert following is not None
        assert following.request == b"request 5"
        await flush_one(store, start(following, texts=["new"]))
        found = (await store.history(lane, 1 << 62, 10_000)).messages
        told = [each.assistant_message.content.text for each in found]
        assert told == ["message 1", "message 3", "message 4", "new"]
        assert [each.position for each in found] == sorted(each.position for each in found)
        assert (await claim_of(store, accept(idle))).seq % (1 << TURN_SHIFT) == 0


async def test_agents_of_old_are_found_by_what_they_are_and_did(old: OldDatabase) -> None:
    with old:
        busy, runs = old.lane(ENDED, CANCELLED, RUNNING, last_seq=3, name="busy", tags=["a", "b"])
        idle, _ = old.lane(CREATED, last_seq=1, name="idle", tags=["b"])
    async with SqliteDatabase(old.path).alone() as store:
        for wanted, expected in (
            (v1.AgentFilter(name="busy"), [busy]),
            (v1.AgentFilter(tags=["a"]), [busy]),
            (v1.AgentFilter(tags=["b"]), [busy, idle]),
        ):
            query = AgentQuery(tenant=TENANT, filter=wanted, order="last_run_time", limit=10)
            assert [listed.agent.id for listed in await store.list_agents(query)] == expected
        first, second = await store.list_agents(AgentQuery(tenant=TENANT, order="last_run_time", limit=10))
        assert first.last_run is not None
        assert (first.last_run.agent_id, first.last_run.run_id) == (busy, runs[1].id)
        assert first.last_run.complete_time == runs[1].complete_time
        assert second.last_run is None
        assert await store.list_tags(TagQuery(tenant=TENANT, limit=10)) == ["a", "b"]


async def test_messages_and_steps_of_old_runs_are_listed_in_the_order_of_their_conversations(old: OldDatabase) -> None:
    with old:
        lane, runs = old.lane(ENDED, CANCELLED, ENDED, RUNNING, last_seq=4)
        other, _ = old.lane(ENDED, last_seq=1)
    async with SqliteDatabase(old.path).alone() as store:
        for scope in (MessageScope(tenant=TENANT, agent_id=lane), MessageScope(tenant=TENANT, lane=lane)):
            found = await store.list_messages(MessageQuery(of=scope, newest_first=False))
            told = [entry.assistant_message.content.text for each in found for entry in each.entries]
            assert told == ["message 1", "message 3", "message 4"]
        (claim,) = await store.claim(10)
        new = message(claim.run, (claim.seq << POSITION_SHIFT) + 9, "new")
        await flush_one(store, progress(lane, claim.run, messages=[new]))
        everything = await store.list_messages(MessageQuery(of=MessageScope(tenant=TENANT)))
        assert everything[0].entries[0].assistant_message.content.text == "new"
        assert len(everything) == 5
        ofs = [MessageScope(tenant=TENANT, agent_id=other), MessageScope(tenant=TENANT, run_id=runs[2].id)]
        assert [len(await store.list_messages(MessageQuery(of=scope))) for scope in ofs] == [1, 1]
        steps = [step for step, _ in await store.list_steps(StepQuery(tenant=TENANT, agent_id=lane))]
        assert {step.run_id for step in steps} == {runs[0].id, runs[2].id, runs[3].id}


async def test_callbacks_of_old_are_where_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database of the release that knew a run's own callback alone: of one that waits, of one that is being tried, of
    one that arrived and of one that was given up."""
    old = OldDatabase(tmp_path / "store.db", monkeypatch, schema=8)
    names = ("waits", "held", "arrived", "given up")
    url = "https://a.example:8443/hook"
    with old:
        lane, runs = old.lane(ENDED, ENDED, ENDED, ENDED, last_seq=4 << TURN_SHIFT)
        old.write("INSERT INTO replica (no, id, beat_ns) VALUES (7, 'gone', 1)")
        for place, run in enumerate(runs):
            run.last_sequence, run.callback.url = 9, url
            old.write("UPDATE run SET last_sequence = 9, body = ? WHERE id = ?", run.SerializeToString(), run.id)
            kind = "run.action_required" if names[place] == "waits" else "run.finished"
            told: tuple[object, ...] = {
                "waits": (3_000, 2, None, 0, 2_000_000, 500, "it answered 500"),
                "held": (2_000, 0, 7, 0, None, None, ""),
                "arrived": (None, 1, None, 1, 2_000_000, 204, ""),
                "given up": (None, 9, None, 0, 2_000_000, None, "refused"),
            }[names[place]]
            old.write(
                "INSERT INTO delivery (id, tenant, run_no, kind, url, receiver, create_ns, next_attempt_ns, attempts, "
                "owner, delivered, last_attempt_ns, status_code, error) "
                "SELECT ?, ?, no, ?, ?, 'a.example:8443', 1000, ?, ?, ?, ?, ?, ?, ? FROM run WHERE id = ?",
                *(f"delivery-{place}", TENANT, kind, url, *told, run.id),
            )
    async with SqliteDatabase(old.path).alone() as store:
        assert await store.outbox() == Outbox(open=2, has_endpoints=False)
        page = await store.list_deliveries(DeliveryQuery(tenant=TENANT))
        waits, held, arrived, given_up = [each.delivery for each in reversed(page)]
        assert [each.run_id for each in (waits, held, arrived, given_up)] == [run.id for run in runs]
        assert {(each.sequence, each.url, each.endpoint_id) for each in (waits, held, arrived, given_up)} == {
            (9, url, "")
        }
        statuses = [each.status for each in (waits, held, arrived, given_up)]
        assert statuses == [
            v1.DELIVERY_STATUS_PENDING,
            v1.DELIVERY_STATUS_PENDING,
            v1.DELIVERY_STATUS_DELIVERED,
            v1.DELIVERY_STATUS_DEAD_LETTERED,
        ]
        assert [each.attempt_count for each in (waits, held, arrived, given_up)] == [2, 0, 1, 9]
        assert [list(each.attempts) for each in (waits, held)] == [
            [v1.DeliveryAttempt(start_time=timestamp(2_000_000), status_code=500, error="it answered 500")],
            [],
        ]
        assert [(each.attempts[0].error, each.attempts[0].status_code) for each in (arrived, given_up)] == [
            ("", 204),
            ("refused", 0),
        ]

        assert [each.id for each in await store.claim_deliveries(2_999, 10, 10, {})] == [held.id]
        (again,) = await store.claim_deliveries(3_000, 10, 10, {})
        assert (again.kind, again.receiver, again.attempts, again.create_ns) == (
            "run.action_required",
            "a.example:8443",
            2,
            1_000,
        )
        assert await flush_one(
            store, NoteAttempt(delivery_id=again.id, attempt=v1.DeliveryAttempt(start_time=timestamp(5_000_000)))
        ) == AttemptNoted(held=True, run=(await store.runs(TENANT, [runs[0].id]))[runs[0].id])
        told_now = await store.delivery(TENANT, waits.id)
        assert told_now is not None
        assert (told_now.status, len(told_now.attempts)) == (v1.DELIVERY_STATUS_DELIVERED, 2)
        assert await store.redeliver(TENANT, [given_up.id], 4_000) == 1
        assert [each.id for each in await store.claim_deliveries(4_000, 10, 10, {})] == [given_up.id]
        claim = await claim_of(store, accept(lane))
        await next_of(store, finish(claim))
