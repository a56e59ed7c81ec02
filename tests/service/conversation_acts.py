"""What callers do in the test of conversations by a model, and which refusals they may get.

Each act is drawn as plain data, and finds at its time what it is about: the newest runs, what is pending, what was
pending last.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc.aio
from hypothesis import strategies as st

from sendoff import v1
from tests.faults.caller import Refusal, script, seconds
from tests.service.answering import MINE
from tests.service.conversation_world import EFFECTS, HOLD, PATIENCE_S, World

WHEN_PENDING = ["UNSPECIFIED", "DENY", "ENQUEUE", "ENQUEUE", "REJECT"]
WHEN_BUSY = ["UNSPECIFIED", "ENQUEUE", "REJECT", "INTERRUPT", "ROLLBACK"]
ON_TIMEOUT = [v1.ON_TIMEOUT_DENY, v1.ON_TIMEOUT_FAIL_TURN, v1.ON_TIMEOUT_APPROVE]
ACTION_TIMEOUT_S, QUEUE_TTL_S, RUN_TIMEOUT_S = 100.0, 10.0, 20.0

ANY_LANE = 7
"""Also one that is deleted."""

_GONE = {"CONVERSATION_NOT_FOUND"}
_ANSWERING = {"NO_PENDING_ACTION", "INVALID_TOOL_CALL_IDS", "ACTION_ALREADY_ANSWERED", "INVALID_REQUEST", *_GONE}
_SAYING = {"CONVERSATION_BUSY", "PENDING_APPROVAL", "QUEUE_FULL", *_GONE}


@dataclass(slots=True)
class Lane:
    """A conversation of the agent."""

    conversation_id: str = ""
    """Empty: the agent's own."""
    inherited: Sequence[v1.Message] = ()
    deleted: bool = False
    last_asked: Sequence[v1.PendingAction] = ()
    """What was pending when somebody looked last."""

    @property
    def name(self) -> str:
        return self.conversation_id or "default"


@dataclass(slots=True)
class Scene:
    """Where acts take place."""

    world: World
    agent: str
    lanes: list[Lane] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    sent: list[v1.CreateMessageAsyncRequest] = field(default_factory=list)
    rolled_back: set[str] = field(default_factory=set)
    """Runs that somebody asked to roll back."""
    cancelled: set[str] = field(default_factory=set)
    """Runs that somebody asked to cancel and to keep."""
    surely_rolled_back: set[str] = field(default_factory=set)
    """Those among them that were under way, and nothing else went on."""
    rolled_back_in: set[str] = field(default_factory=set)
    """Conversations where any run may have been rolled back, because several things went on at once."""

    def lane(self, number: int) -> Lane:
        lanes = [lane for lane in self.lanes if not lane.deleted or number == ANY_LANE]
        return lanes[number % len(lanes)]

    async def attempt(self, call: Any, legal: set[str]) -> Any:
        """The answer, or the reason why it was refused."""
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            reason = Refusal(error).reason
            if reason not in legal:
                self.world.faults.append(f"refused with {error.code()} {reason or error.details()}, not one of {legal}")
            self.world.reached[reason] += 1
            return reason


# ---- saying something ----


class Plan(NamedTuple):
    """What a message has the model do."""

    steps: Sequence[Sequence[str]]
    """The tools that each answer calls; none: words."""
    hold: int | None
    failure: str


class Say(NamedTuple):
    lane: int
    plan: Plan
    when_pending: str
    when_busy: str
    queue_ttl: bool
    run_timeout: bool
    on_timeout: int
    keyed: bool


def _text(plan: Plan) -> str:
    steps: list[dict[str, Any]] = []
    for number, names in enumerate(plan.steps):
        step: dict[str, Any] = {"text": f"words of step {number}"}
        if names:
            step["tool_calls"] = [{"name": name, "arguments": {"of": name}} for name in names]
        steps.append(step)
    if plan.hold is not None:
        steps[0]["text"] += f" {HOLD}{plan.hold}"
    if plan.failure == "at first":
        steps[0]["error"] = {"kind": "rejected"}
    elif plan.failure == "at last":
        steps[-1]["error"] = {"kind": "rejected", "after_chunks": 1}
    elif plan.failure == "for a while":
        steps[-1]["error"] = {"kind": "overloaded", "after_chunks": 1, "attempts": 2}
    return script(steps=steps)


async def say(scene: Scene, act: Say, alone: bool) -> None:
    lane = scene.lane(act.lane)
    limits = v1.Limits(action_timeout=seconds(ACTION_TIMEOUT_S), on_action_timeout=ON_TIMEOUT[act.on_timeout])
    if act.queue_ttl:
        limits.queue_ttl.CopyFrom(seconds(QUEUE_TTL_S))
    if act.run_timeout:
        limits.run_timeout.CopyFrom(seconds(RUN_TIMEOUT_S))
    request = v1.CreateMessageAsyncRequest(
        agent_id=scene.agent,
        input=v1.Content(text=_text(act.plan)),
        client_tools=MINE,
        scheduling=v1.Scheduling(
            when_busy=v1.WhenBusy.Value(f"WHEN_BUSY_{act.when_busy}"),
            when_pending=v1.WhenPending.Value(f"WHEN_PENDING_{act.when_pending}"),
        ),
        limits=limits,
        labels={"when_pending": act.when_pending},
        request_id=f"say-{next(scene.numbers)}" if act.keyed else None,
        conversation_id=lane.conversation_id or None,
    )
    sure: set[str] = set()
    if act.when_busy in ("INTERRUPT", "ROLLBACK"):
        marked = scene.rolled_back if act.when_busy == "ROLLBACK" else scene.cancelled
        if act.when_busy == "ROLLBACK" and not alone:
            scene.rolled_back_in.add(lane.conversation_id)
        under_way = {run.id for run in await _runs(scene, lane) if not run.HasField("complete_time")}
        marked.update(under_way)
        if act.when_busy == "ROLLBACK" and alone:
            sure = under_way
    scene.sent.append(request)
    told = await scene.attempt(scene.world.life.caller.runs.CreateMessageAsync(request, timeout=PATIENCE_S), _SAYING)
    if isinstance(told, v1.Run):
        scene.surely_rolled_back |= sure
    plain = act.when_pending != "REJECT" and act.when_busy != "REJECT"
    if alone and plain and told in ("CONVERSATION_BUSY", "PENDING_APPROVAL", *_GONE) and not lane.deleted:
        scene.world.faults.append(f"a plain message was refused with {told}")


async def _runs(scene: Scene, lane: Lane) -> list[v1.Run]:
    """Newest first."""
    runs = await scene.world.life.caller.list_all(agent_id=scene.agent)
    return [run for run in runs if run.conversation_id == lane.conversation_id]


# ---- answering ----


class Answer(NamedTuple):
    lane: int
    shape: str
    verdicts: Sequence[int]
    behind: bool
    stale: bool
    """Answer what was pending once."""
    twice: bool


SHAPES = ["approvals", "approvals", "tool_return", "old", "old by message", "respond", "respond"]
SHAPES += ["partial", "partial", "unknown call", "missing call", "yes to a client tool"]
WHOLE = {"approvals", "tool_return", "respond"}


async def answer(scene: Scene, act: Answer, alone: bool) -> None:
    lane, pending = await _asking(scene, act)
    actions: Sequence[v1.PendingAction] = [each for each in pending if not each.HasField("decision")]
    if act.stale or not pending:
        actions = lane.last_asked
    if not actions:
        actions = [v1.PendingAction(tool_call_id="call-nowhere", kind=v1.ACTION_KIND_APPROVAL)]
    decisions = [_decision(action, act, number) for number, action in enumerate(actions)]
    if act.shape == "yes to a client tool":
        yes = [v1.Approval(tool_call_id=each.tool_call_id, approve=True) for each in actions]
        decisions = [v1.ActionDecision(approval=each) for each in yes]
    for action, decision in zip(actions, decisions, strict=True):
        if action.kind == v1.ACTION_KIND_RESOLVE_UNKNOWN_OUTCOME and decision.approval.approve:
            scene.world.allowed_again[action.tool_call_id] += 1
    call = await _answering(scene, lane, act, actions, decisions)
    told = await asyncio.gather(*(scene.attempt(call(), _ANSWERING) for _ in range(1 + act.twice)))
    scene.world.reached[f"answered {act.shape} {isinstance(told[0], v1.Run | v1.RespondToActionsResponse)}"] += 1
    if alone and pending and not act.stale and act.shape in WHOLE:
        for each in told:
            if isinstance(each, str) and not (act.twice and act.shape == "respond" and each == "NO_PENDING_ACTION"):
                scene.world.faults.append(f"{act} of {actions} was refused with {each}")
    runs = {_run_of(each).id for each in told if not isinstance(each, str) and _run_of(each).id}
    if len(runs) > 1:
        scene.world.faults.append(f"the same answers made {runs}")


def _run_of(told: Any) -> v1.Run:
    return told.run if isinstance(told, v1.RespondToActionsResponse) else told


async def _asking(scene: Scene, act: Answer) -> tuple[Lane, list[v1.PendingAction]]:
    """The conversation that is answered, and what it waits for: another one, if the one that was drawn waits for
    nothing."""
    found = await scene.world.pending(scene.agent)
    by_lane = {
        lane.conversation_id: [each for each in found if each.conversation_id == lane.conversation_id]
        for lane in scene.lanes
    }
    for lane in scene.lanes:
        lane.last_asked = by_lane[lane.conversation_id] or lane.last_asked
    wanted = scene.lane(act.lane)
    if not act.stale and not by_lane[wanted.conversation_id]:
        wanted = next((lane for lane in scene.lanes if by_lane[lane.conversation_id]), wanted)
    return wanted, by_lane[wanted.conversation_id]


def _decision(action: v1.PendingAction, act: Answer, number: int) -> v1.ActionDecision:
    verdict = act.verdicts[number % len(act.verdicts)]
    call_id = action.tool_call_id
    at_caller = action.kind == v1.ACTION_KIND_CLIENT_TOOL
    if act.shape == "tool_return" or verdict == 3 or (at_caller and verdict != 1):
        content = v1.Content(text="from outside")
        returned = v1.ToolReturn(tool_call_id=call_id, status=v1.TOOL_RETURN_STATUS_SUCCESS, tool_return=content)
        return v1.ActionDecision(tool=returned)
    if verdict == 1:
        return v1.ActionDecision(approval=v1.Approval(tool_call_id=call_id, approve=False, reason="no"))
    edited = v1.JsonObject(json='{"edited": true}') if verdict == 2 else None
    return v1.ActionDecision(approval=v1.Approval(tool_call_id=call_id, approve=True, edited_arguments=edited))


async def _answering(
    scene: Scene, lane: Lane, act: Answer, actions: Sequence[v1.PendingAction], decisions: list[v1.ActionDecision]
) -> Callable[[], Any]:
    """What makes the call; it can be made again."""
    caller = scene.world.life.caller
    if act.shape in ("respond", "partial"):
        given = decisions if act.shape == "respond" else decisions[:1]
        answers = v1.RespondToActionsRequest(conversation_id=lane.name, agent_id=scene.agent, decisions=given)
        return lambda: caller.actions.RespondToActions(answers, timeout=PATIENCE_S)
    first = v1.InputMessage()
    match act.shape:
        case "tool_return":
            first.tool_return.tool_returns.extend(decision.tool for decision in decisions)
        case "old" | "old by message":
            first.approval.approve = decisions[0].approval.approve
            first.approval.approval_request_id = await _name_of(scene, act, actions)
        case "unknown call":
            other = v1.Approval(tool_call_id="call-nowhere", approve=True)
            first.approval.approvals.extend([*decisions, v1.ActionDecision(approval=other)])
        case "missing call":
            first.approval.approvals.extend(decisions[1:] or decisions)
        case _:
            first.approval.approvals.extend(decisions)
    messages = [first]
    if act.behind:
        said = v1.MessageCreate(role=v1.ROLE_USER, content=v1.Content(text=_text(Plan([()], None, ""))))
        messages.append(v1.InputMessage(message=said))
    request = v1.CreateMessageAsyncRequest(
        agent_id=scene.agent,
        messages=v1.InputMessages(messages=messages),
        client_tools=MINE,
        conversation_id=lane.conversation_id or None,
    )
    scene.sent.append(request)
    return lambda: caller.runs.CreateMessageAsync(request, timeout=PATIENCE_S)


async def _name_of(scene: Scene, act: Answer, actions: Sequence[v1.PendingAction]) -> str:
    """How the old form names the one call: by its id, or by that of the message that asks for it."""
    if act.shape == "old by message" and actions[0].run_id:
        try:
            messages = await scene.world.life.caller.messages(actions[0].run_id)
        except grpc.aio.AioRpcError:
            messages = []
        asking = [message.id for message in messages if message.HasField("approval_request_message")]
        if asking:
            return asking[-1]
    return actions[0].tool_call_id


# ---- everything else ----


class Repeat(NamedTuple):
    """A request that was sent before, word for word."""

    number: int


async def repeat(scene: Scene, act: Repeat, alone: bool) -> None:
    if scene.sent:
        request = scene.sent[-1 - act.number % len(scene.sent)]
        if request.scheduling.when_busy in (v1.WHEN_BUSY_INTERRUPT, v1.WHEN_BUSY_ROLLBACK):
            return
        call = scene.world.life.caller.runs.CreateMessageAsync(request, timeout=PATIENCE_S)
        await scene.attempt(call, _SAYING | _ANSWERING)


class CancelOf(NamedTuple):
    number: int
    rollback: bool


async def cancel(scene: Scene, act: CancelOf, alone: bool) -> None:
    caller = scene.world.life.caller
    runs = await caller.list_all(agent_id=scene.agent)
    if not runs:
        return
    run = runs[act.number % len(runs)]
    (scene.rolled_back if act.rollback else scene.cancelled).add(run.id)
    request = v1.CancelRunRequest(run_id=run.id, rollback=act.rollback, reason="so it is")
    legal = {"RUN_NOT_FOUND", "UNSUPPORTED_FEATURE"} if act.rollback else {"RUN_NOT_FOUND"}
    told = await scene.attempt(caller.runs.CancelRun(request, timeout=PATIENCE_S), legal)
    if isinstance(told, v1.Run) and alone and act.rollback and not run.HasField("complete_time"):
        scene.surely_rolled_back.add(run.id)


class Release(NamedTuple):
    """Let so many held calls of models and tools go on."""

    number: int


async def release(scene: Scene, act: Release, alone: bool) -> None:
    scene.world.life.release(act.number)


class Fork(NamedTuple):
    lane: int
    at: int | None


async def fork(scene: Scene, act: Fork, alone: bool) -> None:
    if not alone or len(scene.lanes) >= 4:
        return
    lane, caller = scene.lane(act.lane), scene.world.life.caller
    if lane.deleted:
        return
    open_runs = {run.id for run in await caller.list_all(agent_id=scene.agent, active=True)}
    inherited = [each for each in await listed(scene, lane) if each.run_id not in open_runs]
    at = None
    if act.at is not None and inherited:
        at = inherited[act.at % len(inherited)].id
        last = max(number for number, each in enumerate(inherited) if each.id == at)
        inherited = inherited[: last + 1]
    request = v1.ForkConversationRequest(conversation_id=lane.name, agent_id=scene.agent, at_message_id=at)
    told = await scene.attempt(caller.conversations.ForkConversation(request, timeout=PATIENCE_S), set())
    if isinstance(told, v1.Conversation):
        scene.lanes.append(Lane(told.id, [_in(told.id, each) for each in inherited]))


def _in(conversation_id: str, entry: v1.Message) -> v1.Message:
    moved = v1.Message()
    moved.CopyFrom(entry)
    moved.conversation_id = conversation_id
    return moved


async def listed(scene: Scene, lane: Lane) -> list[v1.Message]:
    ask = v1.ListMessagesRequest(conversation_id=lane.name, agent_id=scene.agent, order_by="position", page_size=1000)
    return list((await scene.world.life.caller.conversations.ListMessages(ask, timeout=PATIENCE_S)).messages)


class Delete(NamedTuple):
    lane: int
    cancel_runs: bool


async def delete(scene: Scene, act: Delete, alone: bool) -> None:
    lane = scene.lane(act.lane)
    if not lane.conversation_id:
        return
    request = v1.DeleteConversationRequest(conversation_id=lane.conversation_id, cancel_runs=act.cancel_runs)
    legal = _GONE if act.cancel_runs and alone else {"CONVERSATION_HAS_ACTIVE_RUNS", *_GONE}
    call = scene.world.life.caller.conversations.DeleteConversation(request, timeout=PATIENCE_S)
    told = await scene.attempt(call, legal)
    if not isinstance(told, str):
        lane.deleted = True


class Upkeep(NamedTuple):
    """Compact a conversation, or reset it."""

    lane: int
    reset: bool


_UPKEEP = {"CONVERSATION_BUSY", "RUN_NOT_FOUND", *_GONE}
_COMPACTING = {"PENDING_APPROVAL", "NOTHING_TO_COMPACT", "COMPACTION_FAILED", *_UPKEEP}


async def upkeep(scene: Scene, act: Upkeep, alone: bool) -> None:
    lane, conversations = scene.lane(act.lane), scene.world.life.caller.conversations
    idle = all(run.HasField("complete_time") for run in await _runs(scene, lane))
    if act.reset:
        request = v1.ResetConversationRequest(conversation_id=lane.name, agent_id=scene.agent)
        legal = _UPKEEP if alone else {"RESET_FAILED", *_UPKEEP}
        told = await scene.attempt(conversations.ResetConversation(request, timeout=PATIENCE_S), legal)
    else:
        asked = v1.CompactConversationRequest(conversation_id=lane.name, agent_id=scene.agent)
        told = await scene.attempt(conversations.CompactConversation(asked, timeout=PATIENCE_S), _COMPACTING)
    scene.world.reached[f"{'reset' if act.reset else 'compacted'} {not isinstance(told, str)}"] += 1
    if alone and idle and told in ("CONVERSATION_BUSY", "COMPACTION_FAILED"):
        scene.world.faults.append(f"{act} of an idle conversation was refused with {told}")


async def look_what_is_deleted(scene: Scene) -> None:
    """After a crash, which may have kept the answer of a delete from whoever asked for it."""
    for lane in scene.lanes:
        if lane.conversation_id and not lane.deleted:
            ask = v1.GetConversationRequest(conversation_id=lane.conversation_id)
            call = scene.world.life.caller.conversations.GetConversation(ask, timeout=PATIENCE_S)
            lane.deleted = isinstance(await scene.attempt(call, _GONE), str)


Act = Say | Answer | Repeat | CancelOf | Release | Fork | Delete | Upkeep
_DOING: dict[type, Callable[..., Any]] = {
    Say: say,
    Answer: answer,
    Repeat: repeat,
    CancelOf: cancel,
    Release: release,
    Fork: fork,
    Delete: delete,
    Upkeep: upkeep,
}


async def perform(scene: Scene, act: Act, *, alone: bool) -> None:
    """`alone`: nothing else goes on meanwhile, so it is known what should come of it."""
    scene.world.reached[type(act).__name__] += 1
    await _DOING[type(act)](scene, act, alone)


# ---- moments ----


class Together(NamedTuple):
    """Acts at once."""

    acts: Sequence[Act]


class Later(NamedTuple):
    """Time goes on."""

    seconds: float


class Crash(NamedTuple):
    """In the middle of these acts, after so many turns of the loop."""

    acts: Sequence[Act]
    pauses: int


Moment = Act | Together | Later | Crash

# ---- how they are drawn ----

_NAMES = [*EFFECTS, "mine", "mine", "risky", "once", "nowhere"]
_PLANS: list[list[tuple[str, ...]]] = [
    [()],
    [("risky",), ()],
    [("risky", "look"), ()],
    [("mine",), ("risky",), ()],
    [("mine", "risky", "careful"), ()],
    [("once", "look"), ("once",), ()],
    [("hangs",), ()],
    [("once", "hangs", "hangs_reading"), ("risky",)],
    [("hangs_reading", "same"), ()],
    [("fails", "nowhere"), ("breaks",)],
    [("risky", "hangs"), ("once",), ()],
    [("risky", "once"), ("mine",)],
]
_FAILURES = ["at first", "at last", "for a while"]


def _drawn(seed: int) -> Moment:
    """A moment out of a seed: strategies of hypothesis like what is small and empty too much to get far here."""
    chance = random.Random(seed)
    doing: list[Callable[[random.Random], Moment]] = [_any, _together, _crash, _later, _release]
    return chance.choices(doing, weights=[60, 15, 10, 10, 5])[0](chance)


def _any(chance: random.Random) -> Act:
    doing: list[Callable[[random.Random], Act]] = [
        _say,
        _answer,
        _repeat,
        _cancel,
        _release,
        _fork,
        _delete,
        _upkeep,
    ]
    return chance.choices(doing, weights=[35, 35, 5, 10, 10, 5, 3, 10])[0](chance)


def _together(chance: random.Random) -> Moment:
    return Together([_any(chance) for _ in range(chance.randint(2, 4))])


def _crash(chance: random.Random) -> Moment:
    return Crash([_any(chance) for _ in range(chance.randint(0, 3))], chance.choice([0, 20, 100, 400]))


def _later(chance: random.Random) -> Moment:
    return Later(chance.choice([0.5, 5.0, 15.0, 50.0, 150.0]))


def _say(chance: random.Random) -> Act:
    steps: Sequence[Sequence[str]] = chance.choice(_PLANS)
    if chance.random() < 0.3:
        steps = [chance.sample(_NAMES, chance.randint(0, 3)) for _ in range(chance.randint(1, 3))]
    plan = Plan(
        steps,
        chance.choice([0, 2]) if chance.random() < 0.3 else None,
        chance.choice(_FAILURES) if chance.random() < 0.2 else "",
    )
    return Say(
        lane=_lane(chance),
        plan=plan,
        when_pending=chance.choice(WHEN_PENDING),
        when_busy=chance.choice(WHEN_BUSY),
        queue_ttl=chance.random() < 0.3,
        run_timeout=chance.random() < 0.3,
        on_timeout=chance.randrange(3),
        keyed=chance.random() < 0.5,
    )


def _answer(chance: random.Random) -> Act:
    return Answer(
        lane=_lane(chance),
        shape=chance.choice(SHAPES),
        verdicts=[chance.choice([0, 0, 1, 2, 3]) for _ in range(3)],
        behind=chance.random() < 0.3,
        stale=chance.random() < 0.2,
        twice=chance.random() < 0.3,
    )


def _repeat(chance: random.Random) -> Act:
    return Repeat(chance.randrange(8))


def _cancel(chance: random.Random) -> Act:
    return CancelOf(chance.randrange(5), chance.random() < 0.4)


def _release(chance: random.Random) -> Act:
    return Release(chance.choice([1, 1, 10]))


def _fork(chance: random.Random) -> Act:
    return Fork(_lane(chance), chance.choice([None, chance.randrange(20)]))


def _delete(chance: random.Random) -> Act:
    return Delete(_lane(chance), chance.random() < 0.6)


def _upkeep(chance: random.Random) -> Act:
    return Upkeep(_lane(chance), chance.random() < 0.5)


def _lane(chance: random.Random) -> int:
    return chance.choice([0, 0, 0, 1, 1, 2, 3, ANY_LANE])


moments: st.SearchStrategy[Moment] = st.integers(0, 2**32).map(_drawn)
