"""Each promise that is broken on purpose is found: a sound world, and one thing in it that must not be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server import ids
from tests.chaos.checks import check
from tests.chaos.cluster import Callers
from tests.chaos.findings import Findings
from tests.chaos.hooks import Hooks
from tests.chaos.jobs import Job, Kind
from tests.chaos.load import Load
from tests.chaos.looking import Looks, Seen
from tests.chaos.outside import CHARGE, Ledger
from tests.chaos.plan import Plan
from tests.chaos.rest import Rest, type_of
from tests.chaos.world import Told, World
from tests.faults.caller import request
from tests.faults.run_log import Screen
from tests.fixtures.receiver import Receiver

PLAN = Plan(seed=1, minutes=1, runs=1, conversations=1)
LANE = ids.derive("agent", "chaos")
_TURN = 1 << 30


def at(seconds: float) -> Timestamp:
    moment = Timestamp()
    moment.FromNanoseconds(int((1_000 + seconds) * 1e9))
    return moment


@dataclass
class Scene:
    """What two runs of one conversation come to: the first calls a tool that may run once, the second answers."""

    findings: Findings = field(default_factory=lambda: Findings(shown=False))
    jobs: list[Job] = field(default_factory=list)
    runs: dict[str, Told] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=lambda: Ledger(Random(1), 0))
    hooks: Hooks = field(init=False)
    looks: Looks = field(init=False)
    lane: list[v1.Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hooks = Hooks(Receiver(), Random(1), self.findings)
        callers = Callers([], self.findings, Random(1))
        rest = Rest([], self.findings, 1)
        self.looks = Looks(Load(PLAN, [], callers, rest, self.findings), callers, rest, self.findings, 1)
        self.add(Kind.CHARGE, calls=True)
        self.add(Kind.TEXT)
        self.ledger.charged["job-0"].append("key")

    def add(self, kind: Kind, *, calls: bool = False) -> None:
        """A run behind the others, that has ended, and was watched, looked at and called back."""
        number = len(self.jobs)
        key = f"job-{number}"
        sent = request(LANE, f"ask {key}", request_id=key, callback_url="http://127.0.0.1/hook")
        job = Job(key, kind, LANE, sent, f"answer {key}", 10.0 * number, 10.0 * number + 1)
        job.run_id = ids.derive("run", key)
        told = _told(job, number, calls)
        self.jobs.append(job)
        self.runs[job.run_id] = told
        self.lane += told.messages
        self.hooks.told[job.run_id] = {"run_id": job.run_id, "status": "completed"}
        self.hooks.times[job.run_id] += 1
        self.hooks.ids[job.run_id].add(f"delivery of {key}")
        self.looks.seen[job.run_id] = Seen(told.run, told.messages)
        screen = self.looks.screens[job.run_id] = Screen()
        for event in told.log:
            screen.show(v1.WatchRunResponse(event=event))
        self.looks.rest.followed[job.run_id] = [{"type": type_of(event)} for event in told.log]

    def broken(self) -> set[str]:
        world = World(self.runs, {LANE: self.lane})
        check(world, self.jobs, self.looks, self.hooks, self.ledger, self.findings)
        return set(self.findings.broken)

    def first(self) -> Told:
        return self.runs[self.jobs[0].run_id]

    def change(self, number: int, **changes: object) -> None:
        run_id = self.jobs[number].run_id
        self.runs[run_id] = replace(self.runs[run_id], **changes)  # type: ignore[arg-type]

    def change_run(self, number: int, **fields: object) -> None:
        run_id = self.jobs[number].run_id
        run = v1.Run.FromString(self.runs[run_id].run.SerializeToString())
        run.MergeFrom(v1.Run(**fields))  # type: ignore[arg-type]
        self.change(number, run=run)


def _told(job: Job, number: int, calls: bool) -> Told:
    messages = _messages(job, number, calls)
    events = [v1.RunEvent(state_changed=v1.RunStateChanged(status=v1.RUN_STATUS_CREATED))]
    events += [v1.RunEvent(message=message) for message in messages]
    run = v1.Run(
        id=job.run_id,
        agent_id=LANE,
        request_id=job.key,
        status=v1.RUN_STATUS_COMPLETED,
        stop_reason=v1.STOP_REASON_END_TURN,
        start_time=at(10 * number),
        complete_time=at(10 * number + 5),
        attempt=1,
        last_sequence=len(events) + 1,
    )
    events.append(v1.RunEvent(finished=v1.RunFinished(run=run)))
    for sequence, event in enumerate(events, 1):
        event.run_id, event.sequence, event.attempt = job.run_id, sequence, min(1, sequence - 1)
    return Told(run, events, messages)


def _messages(job: Job, number: int, calls: bool) -> list[v1.Message]:
    call = v1.ToolCall(tool_call_id="call-1", name=CHARGE, arguments="{}")
    returned = v1.ToolReturn(
        tool_call_id="call-1",
        status=v1.TOOL_RETURN_STATUS_SUCCESS,
        tool_return=v1.Content(text=f"done {job.key}"),
    )
    places = count((number + 1) * _TURN)
    kinds = [v1.Message(user_message=v1.UserMessage(content=v1.Content(text=job.text)))]
    if calls:
        kinds.append(v1.Message(tool_call_message=v1.ToolCallMessage(tool_calls=[call])))
        kinds.append(v1.Message(tool_return_message=v1.ToolReturnMessage(tool_returns=[returned])))
    kinds.append(v1.Message(assistant_message=v1.AssistantMessage(content=v1.Content(text=job.answer))))
    for message in kinds:
        message.position = next(places)
        message.id, message.run_id = f"message-{message.position}", job.run_id
    return kinds


def lose_a_run(scene: Scene) -> None:
    del scene.runs[scene.jobs[0].run_id]


def run_a_request_twice(scene: Scene) -> None:
    other = v1.Run.FromString(scene.first().run.SerializeToString())
    other.id = ids.derive("run", "other")
    scene.runs[other.id] = replace(scene.first(), run=other)


def start_before_the_end_of_another(scene: Scene) -> None:
    scene.change_run(1, start_time=at(4))


def overtake(scene: Scene) -> None:
    scene.jobs[0].begun_s, scene.jobs[0].acknowledged_s = 20.0, 21.0


def change_a_finished_run(scene: Scene) -> None:
    seen = scene.looks.seen[scene.jobs[0].run_id]
    run = v1.Run.FromString(seen.run.SerializeToString())
    run.stop_reason = v1.STOP_REASON_MAX_STEPS
    scene.looks.seen[run.id] = Seen(run, seen.messages)


def change_its_messages(scene: Scene) -> None:
    seen = scene.looks.seen[scene.jobs[0].run_id]
    scene.looks.seen[seen.run.id] = Seen(seen.run, seen.messages[:-1])


def leave_a_gap(scene: Scene) -> None:
    log = scene.first().log
    scene.change(0, log=[*log[:2], *log[3:]])


def show_a_watcher_less(scene: Scene) -> None:
    scene.looks.screens[scene.jobs[1].run_id].events.pop(1)


def tell_an_event_stream_less(scene: Scene) -> None:
    scene.looks.rest.followed[scene.jobs[1].run_id].pop()


def list_a_message_twice(scene: Scene) -> None:
    scene.lane.append(scene.lane[-1])


def forget_a_return(scene: Scene) -> None:
    scene.lane = [message for message in scene.lane if not message.HasField("tool_return_message")]


def do_it_twice(scene: Scene) -> None:
    scene.ledger.charged["job-0"].append("key")


def tell_of_what_was_not_done(scene: Scene) -> None:
    scene.ledger.charged.clear()


def forget_a_callback(scene: Scene) -> None:
    del scene.hooks.told[scene.jobs[1].run_id]


def call_back_with_another_end(scene: Scene) -> None:
    scene.hooks.told[scene.jobs[1].run_id]["status"] = "failed"


def ignore_a_cancel(scene: Scene) -> None:
    scene.jobs[1].kind = Kind.CANCELLED
    scene.jobs[1].cancel_reply = v1.Run(status=v1.RUN_STATUS_RUNNING)


def drop_an_answer(scene: Scene) -> None:
    scene.jobs[1].answer = "something else"


DEEDS: dict[Callable[[Scene], None], str] = {
    lose_a_run: "P1",
    drop_an_answer: "P1",
    run_a_request_twice: "P2",
    start_before_the_end_of_another: "P3",
    overtake: "P3",
    change_a_finished_run: "P4",
    change_its_messages: "P4",
    leave_a_gap: "P5",
    show_a_watcher_less: "P5",
    tell_an_event_stream_less: "P5",
    list_a_message_twice: "P5",
    forget_a_return: "P6",
    do_it_twice: "P8",
    tell_of_what_was_not_done: "P8",
    forget_a_callback: "P9",
    call_back_with_another_end: "P9",
    ignore_a_cancel: "a cancel is carried out",
}


def test_a_sound_world_is_found_sound() -> None:
    scene = Scene()
    assert scene.broken() == set(), scene.findings.broken


@pytest.mark.parametrize(("deed", "promise"), DEEDS.items(), ids=lambda value: getattr(value, "__name__", value))
def test_it_is_found(deed: Callable[[Scene], None], promise: str) -> None:
    scene = Scene()
    deed(scene)
    assert promise in scene.broken()
