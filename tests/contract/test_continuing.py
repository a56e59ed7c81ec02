"""What an accept that answers pending actions supposes, and what it brings with it."""

from __future__ import annotations

from dataclasses import replace

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server.store.items import Cancel, NoteAnswers, Noted, NothingPending, Placed, Recorded
from sendoff_server.store.port import Store
from tests.contract.making import accept, new_lane, progress


async def _stopped(store: Store, lane: str, count: int = 2) -> v1.Run:
    """A run that has stopped for that many actions."""
    (placed,) = await store.flush([accept(lane)])
    assert isinstance(placed, Placed)
    ended = progress(lane, placed.run, v1.RUN_STATUS_COMPLETED)
    actions = [
        v1.PendingAction(tool_call_id=f"call-{n}", run_id=placed.run.id, expire_time=Timestamp(seconds=1))
        for n in range(count)
    ]
    ended.run.pending_actions.extend(actions)
    (recorded,) = await store.flush([replace(ended, opens=actions, keep_lease=False)])
    assert isinstance(recorded, Recorded)
    return ended.run


def _noting(lane: str, stopped: v1.Run) -> NoteAnswers:
    """An answer to the first of its actions."""
    noted = v1.Run()
    noted.CopyFrom(stopped)
    noted.pending_actions[0].decision.approval.approve = True
    return NoteAnswers(lane=lane, run_id=stopped.id, actions=noted.pending_actions, answered_before=0)


async def test_answers_that_were_noted_since_the_caller_looked_are_not_overruled(store: Store) -> None:
    lane = await new_lane(store)
    stopped = await _stopped(store, lane)
    blind = replace(accept(lane), continues=stopped.id)
    noted, refused = await store.flush([_noting(lane, stopped), blind])
    assert isinstance(noted, Noted)
    assert isinstance(refused, NothingPending)
    (placed,) = await store.flush([replace(blind, answered_before=1)])
    assert isinstance(placed, Placed)


async def test_a_run_can_be_accepted_with_its_cancel(store: Store) -> None:
    lane = await new_lane(store)
    stopped = await _stopped(store, lane)
    cancel = Cancel(reason="enough")
    (placed,) = await store.flush([replace(accept(lane), continues=stopped.id, cancel=cancel)])
    assert isinstance(placed, Placed)
    assert placed.claim is not None
    assert placed.claim.cancel_wanted == cancel


async def test_a_cancel_that_came_with_the_accept_is_durable(store: Store) -> None:
    lane = await new_lane(store)
    stopped = await _stopped(store, lane)
    cancel = Cancel(reason="enough", superseded=True)
    await store.flush([replace(accept(lane, lease=False), continues=stopped.id, cancel=cancel)])
    (claim,) = await store.claim(1)
    assert (claim.paused_by, claim.cancel_wanted) == (stopped.id, cancel)
