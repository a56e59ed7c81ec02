"""Endpoints, deliveries and attempts for a store, with all that does not matter filled in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import SECOND_NS, timestamp
from sendoff_server.store.items import AttemptNoted, NoteAttempt
from sendoff_server.store.port import DEFAULT_TENANT, Store
from sendoff_server.store.questions import (
    ACTION_REQUIRED,
    RUN_FINISHED,
    RUN_STARTED,
    Delivery,
    DeliveryQuery,
    Endpoint,
    Secret,
)
from tests.contract.making import accept, after, claim_of, finish, flush_one, new_lane, next_of, next_time, start

EVERYTHING = (RUN_STARTED, ACTION_REQUIRED, RUN_FINISHED)
URL = "https://a.example/hook"
RECEIVER = "a.example:443"
LATER_NS = 1 << 62
"""When all is due."""
ATTEMPT_NS = 3_000 * SECOND_NS


def endpoint(url: str | None = URL, secrets: Sequence[str] = ("whsec_a",), **fields: Any) -> Endpoint:
    made = {"create_time": next_time(), **fields}
    told = v1.CallbackEndpoint(id=ids.new("endpoint"), url=url, etag="1", **made)
    return Endpoint(told, [Secret(text) for text in secrets] if url is not None else [])


def changed(of: Endpoint, **fields: Any) -> Endpoint:
    """The endpoint with these fields, and another etag."""
    kept = {field.name: value for field, value in of.told.ListFields()}
    told = v1.CallbackEndpoint(**{**kept, **fields, "etag": of.told.etag + "+"})
    return Endpoint(told, of.secrets)


async def registered(store: Store, url: str | None = URL, tenant: str = DEFAULT_TENANT, **fields: Any) -> Endpoint:
    made = await store.create_endpoint(tenant, endpoint(url, **fields), None, b"", 50)
    assert isinstance(made, Endpoint)
    return made


async def change(store: Store, of: Endpoint, tenant: str = DEFAULT_TENANT, **fields: Any) -> Endpoint:
    made = changed(of, **fields)
    assert await store.update_endpoint(tenant, made, of.told.etag)
    return made


async def run_once(store: Store, tenant: str = DEFAULT_TENANT, **run: Any) -> v1.Run:
    """A run with these fields that has started and ended, of an agent of its own."""
    lane = await new_lane(store, tenant)
    claim = await claim_of(store, accept(lane, run=v1.Run(**run), tenant=tenant))
    started = start(claim)
    await flush_one(store, started)
    ended = finish(after(claim, started))
    await next_of(store, ended)
    return ended.run


async def due(store: Store, limit: int = 100, per_receiver: int = 100, **room: int) -> list[Delivery]:
    return await store.claim_deliveries(LATER_NS, limit, per_receiver, room)


async def pulled(store: Store, of: Endpoint, limit: int = 100, tenant: str = DEFAULT_TENANT) -> list[Delivery]:
    return await store.claim_pulled(tenant, of.told.id, LATER_NS, limit)


def attempt(delivery: Delivery, error: str = "", status: int | None = None, **more: Any) -> NoteAttempt:
    made = v1.DeliveryAttempt(start_time=timestamp(ATTEMPT_NS), duration_ns=5, status_code=status, error=error)
    return NoteAttempt(delivery_id=delivery.id, attempt=made, url=delivery.url, **more)


async def note(store: Store, delivery: Delivery, error: str = "", **more: Any) -> AttemptNoted:
    noted = await flush_one(store, attempt(delivery, error, **more))
    assert isinstance(noted, AttemptNoted)
    return noted


async def listed(store: Store, tenant: str = DEFAULT_TENANT, **query: Any) -> list[v1.Delivery]:
    return [each.delivery for each in await store.list_deliveries(DeliveryQuery(tenant=tenant, **query))]


def kinds(deliveries: Sequence[Delivery]) -> list[tuple[str, str]]:
    """Where each goes, and of what it tells; in that order."""
    return sorted((each.url, each.kind) for each in deliveries)
