"""What a store tells of queues: where one run stands, how much there is of all, and who works.

All of one answer is as of one moment. Words and times are those of `store/port.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.store.questions import CapOf, Queued

MOST_TOLD = 20
"""Runs in front, and runs that have a slot."""
MOST_COUNTED = 1_000
"""Lanes in front, shares that wait, and replicas."""
MOST_RUNS = 50_000
"""Open runs that `count_queue` looks at."""
MOST_GROUPS = 200
"""That it tells of."""
NEWEST_STEPS = 1_000
"""Among which `slot_waits` looks for first ones."""


class ReplicaSeen(NamedTuple):
    """A replica that is alive, or has not been declared dead yet."""

    id: str
    beat_ns: int
    slots: int | None
    """How many runs it executes at once; None if it did not tell."""
    leases: int
    """How many lanes it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotPlace:
    """Where a lane that nobody holds stands among those that wait for a slot."""

    ready_ns: int
    """Since when it waits."""
    ahead: int
    """How many lanes of its share are taken before it; MOST_COUNTED for that many or more."""
    shares: int
    """How many shares have lanes that wait, its own among them; counted as far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a run stands."""

    now_ns: int
    """By the store's clock."""
    run: v1.Run
    queued: Queued | None
    """As `Store.queued` tells it; None if the run has ended."""
    in_front: Sequence[v1.Run]
    """The first MOST_TOLD of the runs in front of it, the lane's head first."""
    head: Queued | None
    """As `queued`, of the lane's head; None if there is none."""
    awaited: Sequence[v1.PendingAction]
    """What keeps the lane's head; empty if it does not wait for answers."""
    priority: int
    """Of the lane's head."""
    start_before_ns: int | None
    holder: ReplicaSeen | None
    """Who holds the lane; None: nobody."""
    place: SlotPlace | None
    """None: the lane does not wait for a slot."""
    at_work: Sequence[str]
    """Whose end would help, if the lane waits for a slot or is at a cap: MOST_TOLD runs of the tenant in lanes that are
    held, of the agent only if that is at its cap."""
    replicas: Sequence[ReplicaSeen]
    """MOST_COUNTED of them."""


class QueueGroup(NamedTuple):
    """The open runs of one share and one priority."""

    like: v1.Run
    """One of them."""
    share: int
    priority: int
    queued: int
    """Heads that may start, of lanes that nobody holds."""
    blocked: int
    """Behind a head, or heads that wait for anything but a time or a slot."""
    scheduled: int
    """Heads whose time has not come."""
    running: int
    """Heads of lanes that are held."""
    ready_ns: int | None
    """Since when the oldest of `queued` waits; None: there is none."""


@dataclass(frozen=True, slots=True)
class QueueCount:
    """How much there is."""

    now_ns: int
    """By the store's clock."""
    groups: Sequence[QueueGroup]
    """Those with most runs first, MOST_GROUPS of them."""
    is_whole: bool
    """False: there are more groups, or more than MOST_RUNS runs."""
    replicas: Sequence[ReplicaSeen]
    pauses: Sequence[v1.DispatchPause]
    """Oldest first."""
    most_per_agent: int
    """Runs under way at once, over all replicas; 0: as many as may be."""
    most_per_tenant: int


class Stored(NamedTuple):
    """What a tenant has stored."""

    message_bytes: int
    """In the list of its messages, of those that came after a moment."""
    file_bytes: int
    """In all of its files."""
    last_ns: int
    """When the last of these messages came; 0: none did."""


class QueueDepth(NamedTuple):
    """The open runs of a tenant, or of all that are not named."""

    tenant: str
    """Empty: of all others."""
    queued: int
    """Heads that wait for nothing but a slot, as far as was seen."""
    scheduled: int
    """Heads whose time has not come."""
    held: int
    """Heads that wait for answers, are paused, or at a cap."""
    running: int
    """Heads of lanes that are held by a replica."""
    behind: int
    """Runs behind a head."""
    oldest_ns: int
    """How long the oldest of `queued` has waited; 0: there is none."""


class SlotWait(NamedTuple):
    """How long a run waited for a slot once its turn in its lane, and its time, had come."""

    fairness_key: str | None
    started_ns: int
    waited_ns: int


def wants_slot(head: Queued | None) -> bool:
    """Whether nothing but a slot is missing to a head that nobody executes."""
    return head is not None and head.pause is None and head.at_cap is None


def is_agent_at_cap(head: Queued | None) -> bool:
    return head is not None and head.at_cap is not None and head.at_cap.of is CapOf.AGENT


def slot_wait(run: v1.Run, start_ns: int | None, before: v1.Run | None) -> SlotWait | None:
    """Of a run that was not to start before `start_ns`, nor before the end of the one in front; None if it has not
    started."""
    if not run.HasField("start_time"):
        return None
    turn_ns = nanoseconds(before.complete_time) if before is not None and before.HasField("complete_time") else 0
    started_ns = nanoseconds(run.start_time)
    waited_ns = started_ns - max(nanoseconds(run.create_time), start_ns or 0, turn_ns)
    return SlotWait(run.fairness_key if run.HasField("fairness_key") else None, started_ns, max(0, waited_ns))
