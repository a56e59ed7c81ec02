"""`sendoff queue`: how much waits and works, for whom, and who works."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from sendoff import v1
from sendoff.cli import output, wording
from sendoff.cli.session import Json, session


def queue(
    context: typer.Context,
    fairness_key: Annotated[
        str | None, typer.Option(help="Of runs with this key only; empty: of those without one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show how many runs wait and work by key and priority, how long runs have lately waited, and who works."""
    with session(context).client() as client:
        found = client.queue_stats(fairness_key=fairness_key)
    if as_json:
        output.document(found)
        return
    columns = ("FAIRNESS KEY", "PRIORITY", "QUEUED", "BLOCKED", "SCHEDULED", "RUNNING", "OLDEST WAIT")
    output.table(columns, map(_bucket, found.buckets))
    output.say("")
    output.table(("FAIRNESS KEY", "LATELY STARTED", "WAITED P50", "P95", "LONGEST"), map(_waits, found.slot_waits))
    output.say("")
    output.table(("REPLICA", "SLOTS", "TAKEN", "LAST HEARD OF"), _replicas(found))
    if found.pauses:
        output.say("")
        output.table(("PAUSED", "SINCE", "REASON"), map(wording.pause, found.pauses))
    for name, most in (("agent", found.max_running_per_agent), ("tenant", found.max_running_per_tenant)):
        if most:
            output.note(f"at most {most} runs of one {name} are under way at once")
    if found.truncated:
        output.note("there is more than is counted and shown here")


def _bucket(bucket: v1.QueueBucket) -> tuple[str, ...]:
    numbers = (bucket.priority, bucket.queued, bucket.blocked, bucket.scheduled, bucket.running)
    oldest = wording.span(bucket.oldest_age.ToNanoseconds()) if bucket.HasField("oldest_age") else ""
    return bucket.fairness_key, *map(str, numbers), oldest


def _waits(waits: v1.SlotWaits) -> tuple[str, ...]:
    spans = (wording.span(span.ToNanoseconds()) for span in (waits.p50, waits.p95, waits.max))
    return waits.fairness_key, str(waits.runs), *spans


def _replicas(found: v1.GetQueueStatsResponse) -> Iterator[tuple[str, ...]]:
    for each in found.replicas:
        slots = str(each.slots) if each.HasField("slots") else ""
        yield each.id, slots, str(each.slots_used), wording.moment(each.beat_time)
    yield "together", str(found.slots), str(found.slots_used), ""
