"""The engine against a model of lanes: accepts, steps, stops, answers, cancels and restarts in any order, alone or in
batches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from sendoff import v1
from sendoff_server.store.items import (
    Accept,
    Cancel,
    Claim,
    Full,
    Item,
    MarkCancel,
    Marked,
    NoteAnswers,
    Noted,
    NothingPending,
    Outdated,
    Pending,
    Placed,
    Progress,
    Recorded,
    Release,
    Released,
    Repeated,
    Result,
    WhenPending,
)
from sendoff_server.store.port import DEFAULT_TENANT, Poisoned, Store
from sendoff_server.store.postgres import engine
from sendoff_server.store.questions import ActionQuery, ActionSet, DispatchScope, Queued
from tests.contract.databases import PostgresDatabase, SqliteDatabase
from tests.contract.making import ENDED, accept, action, answered, new_lane, progress, turn
from tests.fixtures.postgres import KeptPools

T = TypeVar("T")
LANES = 2


@dataclass
class ModelRun:
    seq: int
    run: v1.Run
    name: str
    waits: bool = False
    cancel_wanted: Cancel | None = None


@dataclass
class ModelActions:
    asked_by: ModelRun
    actions: list[v1.PendingAction]
    answered_by: str = ""
    continuations: int = 0
    settled: bool = False


@dataclass
class ModelLane:
    id: str
    runs: list[ModelRun] = field(default_factory=list)
    owned: bool = False
    """By the one replica that there is."""
    since: int = 0
    """When it began to wait; as good as the same for those that one process has left."""
    actions: ModelActions | None = None
    turns: int = 0

    @property
    def open(self) -> list[ModelRun]:
        ordered = sorted(self.runs, key=lambda each: each.seq)
        return [each for each in ordered if each.run.status not in ENDED]

    @property
    def head(self) -> ModelRun | None:
        return next(iter(self.open), None)

    @property
    def paused_by(self) -> ModelRun | None:
        return None if self.actions is None or self.actions.settled else self.actions.asked_by

    @property
    def answers(self) -> int:
        """How many of its actions have one."""
        return sum(action.HasField("decision") for action in self.actions.actions) if self.actions else 0

    @property
    def is_at_work(self) -> bool:
        head = self.head
        if head is None:
            return False
        waits = head.waits and head.cancel_wanted is None and head.run.status == v1.RUN_STATUS_CREATED
        return not (self.paused_by and waits)

    def claim(self) -> Claim | None:
        if self.head is None:
            return None
        return Claim(
            tenant=DEFAULT_TENANT,
            lane=self.id,
            seq=self.head.seq,
            run=self.head.run,
            request=b"request",
            cancel_wanted=self.head.cancel_wanted,
            paused_by=self.paused_by.run.id if self.paused_by else "",
        )


def bare(told: Any) -> Any:
    """What is told, without etags, which nobody foretells."""
    if isinstance(told, v1.Run):
        copy = v1.Run()
        copy.CopyFrom(told)
        copy.ClearField("etag")
        return copy
    if is_dataclass(told) and not isinstance(told, Poisoned):
        return type(told), {each.name: bare(getattr(told, each.name)) for each in fields(told)}
    return list(told) if isinstance(told, tuple) else told


Decided = tuple[Item, Result]
"""An item, and what it should come to."""
Choice = tuple[str, int, int, bool]
"""What to do, in which lane, to which of its runs, and whether to take or keep the lease."""
STEPS = ["start", "settle", "finish", "stop", "stop settling"]
ACCEPTS = ["accept", "accept waiting", "accept if not pending", "supersede", "continue", "continue another"]
OTHERS = ["repeat", "cancel queued", "mark", "release", "answer one"]
EVERYTHING = -1
"""In place of the number of a lane, whose agent is paused."""
choices = st.tuples(
    st.sampled_from([*ACCEPTS, *STEPS, *STEPS, *OTHERS, "stop", "continue", "accept waiting"]),
    st.integers(0, LANES - 1),
    st.integers(0, 5),
    st.booleans(),
)


class World(Protocol):
    """Where examples take place, one after another, each on an empty database."""

    loop: asyncio.AbstractEventLoop

    def open(self) -> AbstractAsyncContextManager[Store]:
        """A new process, once the last one has stopped."""
        ...

    def clear(self) -> None: ...


class SqliteWorld(World):
    def __init__(self, loop: asyncio.AbstractEventLoop, folder: Path) -> None:
        self.loop = loop
        self._database = SqliteDatabase(folder / "store.db")

    def open(self) -> AbstractAsyncContextManager[Store]:
        return self._database.alone()

    def clear(self) -> None:
        for file in self._database.path.parent.iterdir():
            file.unlink()


class PostgresWorld(World):
    def __init__(self, loop: asyncio.AbstractEventLoop, database: PostgresDatabase) -> None:
        self.loop = loop
        self._database = database

    def open(self) -> AbstractAsyncContextManager[Store]:
        return self._database.replica()

    def clear(self) -> None:
        self._database.empty()


class Lanes(RuleBasedStateMachine):
    """One example: a store and the model. A batch is decided by the model first, then flushed and compared."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.store: Store = self.wait(world.open().__aenter__())
        self.lanes = [ModelLane(self.wait(new_lane(self.store))) for _ in range(LANES)]
        self.waiting: list[ModelLane] = []
        self.pauses: dict[int, v1.DispatchPause] = {}
        self.accepted = 0
        self.now = 0
        self.flushed = 0

    def wait(self, awaitable: Awaitable[T]) -> T:
        return self.world.loop.run_until_complete(awaitable)

    def teardown(self) -> None:
        self.wait(self.store.__aexit__(None, None, None))
        self.world.clear()

    # -- rules --

    @rule(wanted=st.lists(choices, min_size=1, max_size=12))
    def flush(self, wanted: list[Choice]) -> None:
        decided = [self.decide(choice) for choice in wanted]
        batch = [each for each in decided if each is not None]
        self.flushed += 1
        results = self.wait(self.store.flush([item for item, _ in batch]))
        assert len(results) == len(batch)
        for (item, expected), result in zip(batch, results, strict=True):
            assert bare(result) == bare(expected), (item, result)

    @precondition(lambda self: self.waiting)
    @rule(limit=st.integers(1, LANES))
    def claim(self, limit: int) -> None:
        tied = len({lane.since for lane in self.waiting}) < len(self.waiting)
        limit = LANES if tied else limit
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        for lane in taken:
            lane.owned = True
        claims = self.wait(self.store.claim(limit))
        if tied:
            claims.sort(key=lambda claim: [lane.id for lane in taken].index(claim.lane))
        assert [bare(claim) for claim in claims] == [bare(lane.claim()) for lane in taken]

    @rule(which=st.integers(EVERYTHING, LANES - 1))
    def pause(self, which: int) -> None:
        asked = v1.DispatchPause(reason=f"{which}")
        there = self.pauses.setdefault(which, asked)
        assert self.wait(self.store.pause_dispatch(self.scope(which), asked, LANES + 1)) == there
        self.waiting = [lane for lane in self.waiting if not self.is_paused(lane)]

    @precondition(lambda self: self.pauses)
    @rule(which=st.integers(EVERYTHING, LANES - 1))
    def resume(self, which: int) -> None:
        was_paused = self.pauses.pop(which, None) is not None
        assert self.wait(self.store.resume_dispatch(self.scope(which))) == was_paused
        freed = [lane for lane in self.lanes if self.waits(lane) and lane not in self.waiting]
        self.waiting = sorted([*self.waiting, *freed], key=lambda lane: lane.since)

    @precondition(lambda self: self.flushed >= 3)
    @rule()
    def reopen(self) -> None:
        self.flushed = 0
        self.wait(self.store.__aexit__(None, None, None))
        self.store = self.wait(self.world.open().__aenter__())
        now = self.tick()
        for lane in self.lanes:
            lane.since = now if lane.owned else lane.since
            lane.owned = False
        # Lanes that the last process held come back behind those that waited already, in no certain order.
        given_back = [lane for lane in self.lanes if self.waits(lane) and lane not in self.waiting]
        claims = self.wait(self.store.claim(LANES))
        for lane in (*self.waiting, *given_back):
            lane.owned = True
        if len({lane.since for lane in self.waiting}) == len(self.waiting):
            assert [claim.lane for claim in claims[: len(self.waiting)]] == [lane.id for lane in self.waiting]
        by_lane = {claim.lane: bare(claim) for claim in claims}
        assert by_lane == {lane.id: bare(lane.claim()) for lane in (*self.waiting, *given_back)}
        self.waiting = []

    # -- after each rule --

    @invariant()
    def every_run_and_its_log_are_as_the_model_says(self) -> None:
        every = [(lane, each) for lane in self.lanes for each in lane.runs]
        found = self.wait(self.store.runs(DEFAULT_TENANT, [each.run.id for _, each in every]))
        assert {run_id: bare(run) for run_id, run in found.items()} == {
            each.run.id: bare(each.run) for _, each in every
        }
        for lane, each in every[-3:]:
            log = self.wait(self.store.events(each.run.id, 0, 1000))
            assert [event.sequence for event in log] == list(range(1, each.run.last_sequence + 1))
            place = lane.open.index(each) if each in lane.open else None
            blocking = lane.open[0].run.id if place else None
            paused_by = lane.paused_by.run.id if lane.paused_by and not lane.owned and not lane.is_at_work else ""
            expected = None if place is None else Queued(place, blocking, paused_by, pause=self.pause_of(lane, each))
            assert self.wait(self.store.queued(each.run.id)) == expected

    @invariant()
    def actions_are_as_the_model_says(self) -> None:
        pending: list[str] = []
        for lane in self.lanes:
            found = self.wait(self.store.actions(DEFAULT_TENANT, lane.id))
            if lane.actions is None:
                assert found is None
                continue
            asked = lane.actions
            expected = ActionSet(asked.asked_by.run.id, asked.actions, asked.answered_by, asked.settled)
            assert found == expected
            if (lane.paused_by and not lane.open) or (lane.paused_by and not lane.owned and not lane.is_at_work):
                pending += [each.tool_call_id for each in asked.actions]
        listed = self.wait(self.store.list_actions(ActionQuery(tenant=DEFAULT_TENANT)))
        assert sorted(each.tool_call_id for each, _ in listed) == sorted(pending)
        expired = self.wait(self.store.expired_actions(1 << 62, 10))
        assert len(expired) == len(pending) / 2

    # -- the model --

    def decide(self, choice: Choice) -> Decided | None:
        what, lane_number, number, flag = choice
        lane = self.lanes[lane_number]
        match what:
            case "accept":
                return self.decide_accept(lane, flag)
            case "accept waiting":
                return self.decide_accept(lane, flag, when_pending=WhenPending.WAIT)
            case "accept if not pending":
                return self.decide_accept(lane, flag, reject_if_pending=True)
            case "supersede":
                return self.decide_accept(lane, flag, supersedes=Cancel(reason="newer", superseded=True))
            case "release":
                return self.decide_release(lane, keep=flag)
            case _ if not lane.runs:
                return None
        each = lane.runs[number % len(lane.runs)]
        match what:
            case "continue":
                asked_by = lane.actions.asked_by if lane.actions else each
                return self.decide_accept(lane, flag, continues=asked_by.run.id, answered_before=lane.answers)
            case "continue another":
                return self.decide_accept(lane, flag, continues=each.run.id, answered_before=number % 2)
            case "repeat":
                return accept(lane.id, otids=[each.name], continues=f"run-{number}"), Repeated(each.run)
            case "mark":
                return self.decide_mark(lane, each, Cancel(reason=f"reason {number}", rollback=flag))
            case "cancel queued":
                return self.decide_progress(
                    lane, each, progress(lane.id, each.run, v1.RUN_STATUS_CANCELLED, holds_lease=False, keep_lease=flag)
                )
            case "answer one":
                return self.decide_answer(lane, each, number)
        return self.decide_step(lane, lane.head or each, what, flag)

    # -- accept --

    def decide_accept(self, lane: ModelLane, lease: bool, **options: Any) -> Decided:
        self.accepted += 1
        item = accept(lane.id, otids=[f"o{self.accepted}"], lease=lease, max_open=6, **options)
        refused = self.refused(lane, item)
        if refused is not None:
            return item, refused
        each = ModelRun(self.next_seq(lane, item), item.run, f"o{self.accepted}")
        each.waits = item.when_pending == WhenPending.WAIT
        superseded = self.supersede(lane, item.supersedes) if item.supersedes else []
        lane.runs.append(each)
        continued = self.show(lane, continued_by=item.run.id, answered=True) if item.continues else None
        claim = None
        if lane.head is each and not lane.owned:
            lane.since = self.tick() if not lease or self.is_paused(lane) else lane.since
        if lane.head is each and self.waits(lane):
            if lease:
                lane.owned, claim = True, lane.claim()
                if lane in self.waiting:
                    self.waiting.remove(lane)
            elif lane not in self.waiting:
                self.waiting.append(lane)
        return item, Placed(item.run, claim, continued, superseded)

    def refused(self, lane: ModelLane, item: Accept) -> Result | None:
        waits_for_answers = lane.paused_by is not None and not lane.is_at_work
        if item.continues:
            same = lane.paused_by is not None and lane.paused_by.run.id == item.continues
            seen = item.answered_before == lane.answers
            return None if same and seen and waits_for_answers else NothingPending()
        if item.reject_if_pending and waits_for_answers and lane.paused_by:
            return Pending(lane.paused_by.run.id)
        return Full() if len(lane.open) >= item.max_open else None

    def next_seq(self, lane: ModelLane, item: Accept) -> int:
        if item.continues and lane.actions:
            return lane.actions.asked_by.seq + 1 + lane.actions.continuations
        lane.turns += 1
        return turn(lane.turns)

    def supersede(self, lane: ModelLane, cancel: Cancel) -> list[str]:
        marked = [each for each in lane.open if each.cancel_wanted is None]
        for each in marked:
            each.cancel_wanted = cancel
        self.look_again(lane)
        return [each.run.id for each in marked]

    def show(self, lane: ModelLane, *, continued_by: str = "", answered: bool = False, actions: Any = None) -> v1.Run:
        """The run that stopped, as it is from now on."""
        assert lane.actions is not None
        changed = v1.Run()
        changed.CopyFrom(lane.actions.asked_by.run)
        if continued_by:
            changed.continued_by_run_id = lane.actions.answered_by = continued_by
            lane.actions.continuations += answered
        if actions is not None:
            del changed.pending_actions[:]
            changed.pending_actions.extend(actions)
        lane.actions.asked_by.run = changed
        return changed

    # -- steps --

    def decide_step(self, lane: ModelLane, each: ModelRun, what: str, keep: bool) -> Decided:
        status = v1.RUN_STATUS_RUNNING if what in ("start", "settle") else v1.RUN_STATUS_COMPLETED
        item = progress(lane.id, each.run, status, keep_lease=keep)
        if what.startswith("stop"):
            opens = [action(f"{each.name}-{number}", each.run) for number in range(2)]
            item.run.pending_actions.extend(opens)
            item = replace(item, opens=opens)
        return self.decide_progress(lane, each, replace(item, settles="settl" in what))

    def decide_progress(self, lane: ModelLane, each: ModelRun, item: Progress) -> Decided:
        if each.run.status in ENDED or (item.holds_lease and not (lane.owned and each is lane.head)):
            return item, Outdated(each.run)
        if item.opens and lane.paused_by and not item.settles:
            item = replace(item, opens=())
        each.run = item.run
        continued = None
        if item.settles and lane.paused_by:
            assert lane.actions is not None
            continued = self.show(lane, continued_by=each.run.id, actions=())
            lane.actions.settled = True
        if item.opens:
            lane.actions = ModelActions(each, list(item.opens))
        if item.run.status not in ENDED:
            return item, Recorded(None, continued)
        if item.holds_lease:
            return item, Recorded(self.go_on(lane, item.keep_lease), continued)
        self.look_again(lane)
        return item, Recorded(None, continued)

    # -- the rest --

    def decide_mark(self, lane: ModelLane, each: ModelRun, cancel: Cancel) -> Decided:
        if each.run.status not in ENDED and each.cancel_wanted is None:
            each.cancel_wanted = cancel
            self.look_again(lane)
        return MarkCancel(DEFAULT_TENANT, each.run.id, cancel), Marked(each.run)

    def decide_answer(self, lane: ModelLane, each: ModelRun, number: int) -> Decided:
        if lane.actions is None:
            return NoteAnswers(lane.id, each.run.id, [], 0), NothingPending()
        asked, place = lane.actions, number % 2
        actions = [answered(one) if at == place else one for at, one in enumerate(asked.actions)]
        before = sum(one.HasField("decision") for one in asked.actions)
        item = NoteAnswers(lane.id, asked.asked_by.run.id, actions, before + (number == 5))
        if number == 5 or not lane.paused_by or lane.is_at_work:
            return item, NothingPending()
        asked.actions = actions
        return item, Noted(self.show(lane, actions=actions))

    def decide_release(self, lane: ModelLane, *, keep: bool) -> Decided:
        following = self.go_on(lane, keep) if lane.owned else None
        return Release(lane.id, keep), Released(following)

    def go_on(self, lane: ModelLane, keep: bool) -> Claim | None:
        if keep and lane.is_at_work and not self.is_paused(lane):
            return lane.claim()
        lane.owned, lane.since = False, self.tick()
        self.look_again(lane)
        return None

    def look_again(self, lane: ModelLane) -> None:
        """A lane that nobody holds waits for somebody if, and only if, there is something to do."""
        waits = self.waits(lane)
        if waits and lane not in self.waiting:
            lane.since = self.tick()
            self.waiting.append(lane)
        elif not waits and lane in self.waiting:
            self.waiting.remove(lane)

    def waits(self, lane: ModelLane) -> bool:
        return not lane.owned and lane.is_at_work and not self.is_paused(lane)

    # -- pauses --

    def scope(self, which: int) -> DispatchScope:
        return DispatchScope(tenant=DEFAULT_TENANT, agent_id=None if which == EVERYTHING else self.lanes[which].id)

    def is_paused(self, lane: ModelLane) -> bool:
        return lane.head is not None and self.pause_of(lane, lane.head, owned=False) is not None

    def pause_of(self, lane: ModelLane, each: ModelRun, *, owned: bool | None = None) -> v1.DispatchPause | None:
        """The oldest one that keeps a run from being begun that is the head of its lane."""
        is_idle = each.run.status == v1.RUN_STATUS_CREATED and each.cancel_wanted is None
        if each is not lane.head or not is_idle or (lane.owned if owned is None else owned):
            return None
        own = self.lanes.index(lane)
        return next((pause for which, pause in self.pauses.items() if which in (own, EVERYTHING)), None)

    def tick(self) -> int:
        self.now += 1
        return self.now


def _run_model(world: World, examples: int) -> None:
    class LanesOfWorld(Lanes):
        def __init__(self) -> None:
            super().__init__(world)

    run_state_machine_as_test(
        LanesOfWorld,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_lanes_on_sqlite(tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        world = SqliteWorld(runner.get_loop(), tmp_path)
        _run_model(world, examples=30)


def test_lanes_on_postgres(postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """What decides is the same for all engines; few examples show whether it is read and written right."""
    with asyncio.Runner() as runner:
        pools = KeptPools()
        monkeypatch.setattr(engine, "pool", pools.lend)
        world = PostgresWorld(runner.get_loop(), postgres)
        _run_model(world, examples=8)
        runner.run(pools.close())
