"""Items for a store, with all that does not matter filled in."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server import ids
from sendoff_server.store.items import Accept, Cancel, Claim, Item, Key, Placed, Progress, Recorded, WhenPending
from sendoff_server.store.port import DEFAULT_TENANT, POSITION_SHIFT, TURN_SHIFT, Store
from sendoff_server.store.questions import ActionQuery

ENDED = (v1.RUN_STATUS_COMPLETED, v1.RUN_STATUS_FAILED, v1.RUN_STATUS_CANCELLED)

_seconds = itertools.count(1_700_000_000)


def turn(number: int) -> int:
    """The seq of the run that was accepted as that one in its lane, from 1."""
    return number << TURN_SHIFT


def next_time() -> Timestamp:
    """A second later than the one before."""
    return Timestamp(seconds=next(_seconds))


def agent(name: str = "", create_time: Timestamp | None = None) -> v1.Agent:
    return v1.Agent(id=ids.new("agent"), name=name, etag="1", create_time=create_time or next_time())


def conversation(
    agent_id: str, summary: str | None = None, create_time: Timestamp | None = None, **fields: Any
) -> v1.Conversation:
    made_at = create_time or next_time()
    return v1.Conversation(
        id=ids.new("conv"), agent_id=agent_id, summary=summary, etag="1", create_time=made_at, **fields
    )


async def new_conversation(store: Store, agent_id: str, tenant: str = DEFAULT_TENANT) -> str:
    """A further lane of an agent."""
    made = await store.create_conversation(tenant, conversation(agent_id), None, b"")
    assert isinstance(made, v1.Conversation)
    return made.id


async def new_lane(store: Store, tenant: str = DEFAULT_TENANT) -> str:
    """The default conversation of a new agent."""
    made = await store.create_agent(tenant, agent(), None, b"")
    assert isinstance(made, v1.Agent)
    return made.id


def accept(
    lane: str,
    *,
    otids: Sequence[str] = (),
    request_id: str | None = None,
    fingerprint: bytes = b"same",
    tenant: str = DEFAULT_TENANT,
    lease: bool = True,
    reject_if_busy: bool = False,
    max_open: int = 1000,
    request: bytes = b"request",
    run: v1.Run | None = None,
    agent_id: str | None = None,
    continues: str = "",
    answered_before: int = 0,
    when_pending: WhenPending = WhenPending.GO_ON,
    reject_if_pending: bool = False,
    supersedes: Cancel | None = None,
    start_before_ns: int | None = None,
    start_ns: int | None = None,
    priority: int = 3,
    share: int = 0,
) -> Accept:
    """`agent_id`: of a lane that is not the agent's default one."""
    made = v1.Run(
        agent_id=agent_id or lane, conversation_id=lane if agent_id else None, background=True, create_time=next_time()
    )
    if run is not None:
        made.MergeFrom(run)
    made.id = made.id or ids.new("run")
    made.status, made.last_sequence = v1.RUN_STATUS_CREATED, 1
    keys = [Key(f"otid:{lane}", otid) for otid in otids]
    if request_id is not None:
        keys.append(Key("request", request_id))
    return Accept(
        tenant=tenant,
        lane=lane,
        run=made,
        request=request,
        event=event(made, 1),
        keys=keys,
        fingerprint=fingerprint,
        lease=lease,
        reject_if_busy=reject_if_busy,
        max_open=max_open,
        continues=continues,
        answered_before=answered_before,
        when_pending=when_pending,
        reject_if_pending=reject_if_pending,
        supersedes=supersedes,
        start_before_ns=start_before_ns,
        start_ns=start_ns,
        priority=priority,
        share=share,
    )


def waiting(lane: str, *, lease: bool = True) -> Accept:
    """A run that does not go on while something is pending."""
    return accept(lane, lease=lease, when_pending=WhenPending.WAIT)


def action(
    call: str, run: v1.Run, expire_s: int = 10_000, kind: v1.ActionKind.ValueType = v1.ACTION_KIND_APPROVAL
) -> v1.PendingAction:
    """It expires that long after 1970."""
    return v1.PendingAction(
        tool_call_id=call, kind=kind, run_id=run.id, agent_id=run.agent_id, expire_time=Timestamp(seconds=expire_s)
    )


def answered(asked: v1.PendingAction, reason: str = "yes") -> v1.PendingAction:
    told = v1.PendingAction()
    told.CopyFrom(asked)
    told.decision.approval.tool_call_id, told.decision.approval.reason = asked.tool_call_id, reason
    return told


def stop(claim: Claim, *actions: v1.PendingAction, keep_lease: bool = True, settles: bool = False) -> Progress:
    """End the run because it waits for these; for one action if none is told."""
    opens = actions or (action("call-1", claim.run),)
    ended = progress(claim.lane, claim.run, v1.RUN_STATUS_COMPLETED, keep_lease=keep_lease)
    ended.run.stop_reason = v1.STOP_REASON_REQUIRES_APPROVAL
    ended.run.pending_actions.extend(opens)
    return replace(ended, opens=opens, settles=settles)


def settle(claim: Claim) -> Progress:
    """The first step of a run that settles what is pending."""
    return replace(start(claim), settles=True)


async def stopped(store: Store, lane: str, *calls: str, expire_s: int = 10_000) -> v1.Run:
    """A run that has stopped for actions of these calls, or of one."""
    claim = await claim_of(store, accept(lane))
    ended = stop(claim, *(action(call, claim.run, expire_s) for call in calls or ("call-1",)))
    assert await next_of(store, ended) is None
    return ended.run


def event(run: v1.Run, sequence: int) -> v1.RunEvent:
    changed = v1.RunStateChanged(status=run.status, phase=run.phase)
    return v1.RunEvent(run_id=run.id, sequence=sequence, state_changed=changed)


def message(run: v1.Run, position: int, text: str = "") -> v1.Message:
    content = v1.AssistantMessage(content=v1.Content(text=text))
    return v1.Message(id=ids.new("message"), run_id=run.id, position=position, assistant_message=content)


def progress(
    lane: str,
    run: v1.Run,
    status: v1.RunStatus.ValueType = v1.RUN_STATUS_RUNNING,
    *,
    events: int = 1,
    messages: Sequence[v1.Message] = (),
    step: v1.Step | None = None,
    holds_lease: bool = True,
    keep_lease: bool = True,
) -> Progress:
    changed = v1.Run()
    changed.CopyFrom(run)
    changed.status, changed.last_sequence = status, run.last_sequence + events
    if status in ENDED:
        changed.stop_reason = v1.STOP_REASON_END_TURN
    sequences = range(run.last_sequence + 1, changed.last_sequence + 1)
    return Progress(
        lane=lane,
        run=changed,
        after_sequence=run.last_sequence,
        events=[event(changed, sequence) for sequence in sequences],
        messages=messages,
        step=step,
        holds_lease=holds_lease,
        keep_lease=keep_lease,
    )


def start(claim: Claim, *, texts: Sequence[str] = ()) -> Progress:
    """Its first step, which writes messages with these texts."""
    base = claim.seq << POSITION_SHIFT
    written = [message(claim.run, base + number, text) for number, text in enumerate(texts)]
    return progress(claim.lane, claim.run, messages=written)


def finish(claim: Claim, *, keep_lease: bool = True) -> Progress:
    return progress(claim.lane, claim.run, v1.RUN_STATUS_COMPLETED, keep_lease=keep_lease)


def cancel_queued(item: Accept) -> Progress:
    """End a run from outside that was not started."""
    return progress(item.lane, item.run, v1.RUN_STATUS_CANCELLED, holds_lease=False)


def after(claim: Claim, done: Progress) -> Claim:
    """The claim, once that step is recorded."""
    return replace(claim, run=done.run)


async def flush_one(store: Store, item: Item) -> object:
    (result,) = await store.flush([item])
    return result


async def claim_of(store: Store, item: Accept) -> Claim:
    """Accept it, with the lease."""
    claim = (await placed(store, item)).claim
    assert claim is not None
    return claim


async def next_of(store: Store, item: Progress) -> Claim | None:
    """Record it, and give what comes next."""
    recorded = await flush_one(store, item)
    assert isinstance(recorded, Recorded)
    return recorded.next


async def run_to_end(store: Store, claim: Claim, *, texts: Sequence[str] = ()) -> Claim | None:
    started = start(claim, texts=texts)
    assert await flush_one(store, started) == Recorded(None)
    return await next_of(store, finish(after(claim, started)))


async def stored(store: Store, run_id: str, tenant: str = DEFAULT_TENANT) -> v1.Run | None:
    return (await store.runs(tenant, [run_id])).get(run_id)


async def placed(store: Store, item: Accept) -> Placed:
    result = await flush_one(store, item)
    assert isinstance(result, Placed), result
    return result


async def pending(store: Store, **filters: Any) -> list[str]:
    """Ids of the calls that wait for answers; filters as those of ActionQuery."""
    asked = await store.list_actions(ActionQuery(tenant=DEFAULT_TENANT, **filters))
    return [each.tool_call_id for each, _ in asked]
