"""GetQueueStats: how much waits and works, for whom, and how long runs have lately waited for a slot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

from google.protobuf.duration_pb2 import Duration

from sendoff import v1
from sendoff_server import validation
from sendoff_server.clock import timestamp
from sendoff_server.fairness import share_of
from sendoff_server.runs.explaining import leases_of, slots_of
from sendoff_server.store.standing import QueueCount, QueueGroup, ReplicaSeen, SlotWait

MOST_KEYS = 200
"""Whose waits are told."""


class Queues(Protocol):
    """Where queues are counted."""

    async def count_queue(self, tenant: str, shares: Sequence[int]) -> QueueCount:
        """See `Store.count_queue`."""
        ...

    async def slot_waits(self, tenant: str) -> list[SlotWait]:
        """See `Store.slot_waits`."""
        ...


class QueueStats:
    """The use case of whoever looks after the queues."""

    def __init__(self, store: Queues) -> None:
        self._store = store

    async def get(self, tenant: str, request: v1.GetQueueStatsRequest) -> v1.GetQueueStatsResponse:
        validation.check_get_queue_stats(request)
        key = request.fairness_key if request.HasField("fairness_key") else None
        count = await self._store.count_queue(tenant, [] if key is None else [share_of(tenant, key)])
        waits = await self._store.slot_waits(tenant)
        if key is not None:
            waits = [each for each in waits if (each.fairness_key or "") == key]
        return v1.GetQueueStatsResponse(
            buckets=[_bucket(group, count.now_ns) for group in count.groups],
            truncated=not count.is_whole,
            slot_waits=_slot_waits(waits)[:MOST_KEYS],
            replicas=[_replica(each) for each in count.replicas],
            slots=slots_of(count.replicas),
            slots_used=leases_of(count.replicas),
            as_of_time=timestamp(count.now_ns),
            pauses=count.pauses,
            max_running_per_agent=count.most_per_agent or None,
            max_running_per_tenant=count.most_per_tenant or None,
        )


def _bucket(group: QueueGroup, now_ns: int) -> v1.QueueBucket:
    bucket = v1.QueueBucket(
        fairness_key=group.like.fairness_key if group.like.HasField("fairness_key") else None,
        priority=group.priority,
        queued=group.queued,
        blocked=group.blocked,
        scheduled=group.scheduled,
        running=group.running,
    )
    if group.ready_ns is not None:
        bucket.oldest_age.FromNanoseconds(max(0, now_ns - group.ready_ns))
    return bucket


def _replica(seen: ReplicaSeen) -> v1.Replica:
    return v1.Replica(id=seen.id, beat_time=timestamp(seen.beat_ns), slots=seen.slots, slots_used=seen.leases)


def _slot_waits(waits: Iterable[SlotWait]) -> list[v1.SlotWaits]:
    """By key, those with most runs first."""
    by_key: dict[str | None, list[SlotWait]] = defaultdict(list)
    for each in waits:
        by_key[each.fairness_key].append(each)
    told = [_waits_of(key, of_key) for key, of_key in by_key.items()]
    return sorted(told, key=lambda each: (-each.runs, each.fairness_key))


def _waits_of(key: str | None, waits: Sequence[SlotWait]) -> v1.SlotWaits:
    sorted_ns = sorted(each.waited_ns for each in waits)
    return v1.SlotWaits(
        fairness_key=key,
        runs=len(waits),
        p50=_span(percentile(sorted_ns, 50)),
        p95=_span(percentile(sorted_ns, 95)),
        max=_span(sorted_ns[-1]),
        since_time=timestamp(min(each.started_ns for each in waits)),
    )


def percentile(ascending: Sequence[int], percent: int) -> int:
    """The least of them that so many percent do not exceed. There is at least one."""
    return ascending[-(-len(ascending) * percent // 100) - 1]


def _span(span_ns: int) -> Duration:
    span = Duration()
    span.FromNanoseconds(span_ns)
    return span
