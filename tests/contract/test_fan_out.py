"""The start and the end of a run bring a delivery to each endpoint of its tenant that wants it, in the same commit."""

from __future__ import annotations

from typing import Any

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import timestamp
from sendoff_server.store.items import AttemptNoted, NoteAttempt
from sendoff_server.store.port import DEFAULT_TENANT, Store
from sendoff_server.store.questions import (
    ACTION_REQUIRED,
    RUN_FINISHED,
    RUN_STARTED,
    Delivery,
    Endpoint,
    Secret,
)
from tests.contract.making import (
    accept,
    after,
    claim_of,
    finish,
    flush_one,
    new_lane,
    next_of,
    next_time,
    start,
    stored,
)

EVERYTHING = (RUN_STARTED, ACTION_REQUIRED, RUN_FINISHED)
LATER_NS = 1 << 62
"""When all is due."""


def endpoint(url: str | None = "https://a.example/hook", **fields: Any) -> Endpoint:
    secrets = [Secret("whsec_a")] if url is not None else []
    told = v1.CallbackEndpoint(id=ids.new("endpoint"), url=url, etag="1", create_time=next_time(), **fields)
    return Endpoint(told, secrets)


async def registered(
    store: Store, url: str | None = "https://a.example/hook", tenant: str = DEFAULT_TENANT, **fields: Any
) -> Endpoint:
    made = await store.create_endpoint(tenant, endpoint(url, **fields), None, b"", 50)
    assert isinstance(made, Endpoint)
    return made


async def due(store: Store, now_ns: int = LATER_NS, limit: int = 100, per_receiver: int = 100) -> list[Delivery]:
    return await store.claim_deliveries(now_ns, limit, per_receiver, {})


async def note(store: Store, delivery: Delivery, error: str = "", **more: Any) -> AttemptNoted:
    made = v1.DeliveryAttempt(start_time=timestamp(1_000_000), duration_ns=5, error=error)
    noted = await flush_one(store, NoteAttempt(delivery_id=delivery.id, attempt=made, **more))
    assert isinstance(noted, AttemptNoted)
    return noted


def kinds(deliveries: list[Delivery]) -> list[tuple[str, str]]:
    """Each as where to and what, in that order."""
    return sorted((each.url, each.kind) for each in deliveries)


async def test_a_start_and_an_end_bring_one_delivery_each_in_their_order(store: Store) -> None:
    of = await registered(store, event_types=EVERYTHING)
    claim = await claim_of(store, accept(await new_lane(store)))
    started = start(claim)
    await flush_one(store, started)
    (first,) = await due(store)
    assert (first.kind, first.sequence, first.endpoint, first.signed_by) == (RUN_STARTED, 2, of, of)
    assert (first.run, first.url, first.receiver) == (started.run, of.told.url, "a.example:443")

    ended = finish(after(claim, started))
    await next_of(store, ended)
    assert await due(store) == [], "it comes behind the first"
    assert await note(store, first) == AttemptNoted(held=True)
    (second,) = await due(store)
    assert (second.kind, second.sequence, second.run) == (RUN_FINISHED, ended.run.last_sequence, ended.run)
    assert await stored(store, ended.run.id) == ended.run, "a run shows its own callback only"
