"""Whether an item can be carried out as a batch finds things: rules over the rows of a snapshot."""

from __future__ import annotations

from sendoff_server.store.batch.changes import PLACES
from sendoff_server.store.batch.mentions import OPEN
from sendoff_server.store.batch.snapshot import ActionsRow, LaneRow, RunRow
from sendoff_server.store.items import Accept, Accepted, Busy, Full, NothingPending, Pending, Progress
from sendoff_server.store.port import POSITION_SHIFT, TURN_SHIFT


def refused(item: Accept, lane: LaneRow) -> Accepted | None:
    """Why a lane does not take it."""
    if item.continues:
        answers = lane.paused_by == item.continues and not lane.is_at_work
        answers = answers and answered(lane) == item.answered_before
        return None if answers and (lane.open == 0 or next_seq(item, lane) < lane.head_seq) else NothingPending()
    if item.reject_if_pending and lane.paused_by is not None and not lane.is_at_work:
        return Pending(lane.paused_by)
    if item.reject_if_busy and lane.head is not None:
        return Busy(lane.head.id)
    return Full() if lane.open >= item.max_open else None


def fault_of(item: Progress, row: RunRow, lane: LaneRow) -> str | None:
    """What is wrong with a step forward by itself."""
    sequences = [event.sequence for event in item.events]
    first, last = item.after_sequence + 1, item.run.last_sequence
    if sequences != list(range(first, last + 1)):
        return f"events {sequences} instead of {first} to {last}"
    if last >= PLACES or (item.step is not None and not 0 <= item.step.index < PLACES):
        return f"more than {PLACES - 1} events or steps"
    if any(message.position >> POSITION_SHIFT != row.seq for message in item.messages):
        return f"a message has a position that is not in {row.seq} << {POSITION_SHIFT}"
    return _fault_of_end(item, lane) if item.opens or item.left_out else None


def _fault_of_end(item: Progress, lane: LaneRow) -> str | None:
    """What is wrong with what comes with an end."""
    if item.run.status in OPEN:
        return "it has not ended, and opens actions or leaves entries out"
    if item.opens and lane.paused_by is not None and not item.settles:
        return f"its conversation waits for actions of run {lane.paused_by}"
    if any(not action.HasField("expire_time") for action in item.opens):
        return "an action without expire_time"
    return None


def next_seq(item: Accept, lane: LaneRow) -> int:
    """Behind all others; or, for a run that continues another one, behind that one and in front of all others."""
    next_turn = (lane.last_seq >> TURN_SHIFT) + 1 << TURN_SHIFT
    if not item.continues:
        return next_turn
    actions = actions_of(lane)
    seq = actions.run.seq + 1 + actions.continuations
    # A turn that has used up its places goes on in another one, if no run waits that would be in front of that.
    return seq if seq >> TURN_SHIFT == actions.run.seq >> TURN_SHIFT else next_turn


def answered(lane: LaneRow) -> int:
    """How many of its actions have an answer."""
    return sum(action.HasField("decision") for action in actions_of(lane).actions)


def actions_of(lane: LaneRow) -> ActionsRow:
    if lane.actions is None:
        raise AssertionError("a lane that waits has actions, and they are read for items that speak of them")
    return lane.actions
