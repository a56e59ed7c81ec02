"""P10 over REST: every route, attacked with everything that another tenant has."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from typing import Any

import grpc.aio
import pytest

from sendoff_server import app
from sendoff_server.gateway.routes import resuming
from tests.fixtures.receiver import Receiver
from tests.tenants.answers import Answer
from tests.tenants.belongings import Belongings, Household
from tests.tenants.conftest import address_of
from tests.tenants.leaves import Nobodys
from tests.tenants.names_nothing import REST_NAMES_NOTHING, REST_OF_NO_CONSEQUENCE
from tests.tenants.over_grpc import GrpcCaller
from tests.tenants.over_rest import Asked, RestCaller, Route
from tests.tenants.route_plans import calls_of
from tests.tenants.sweep import Sweep, ids_in

MINE, THEIRS, STRANGER = "beta", "alpha", "gamma"


@pytest.fixture(params=["sqlite", *(["postgres"] if "TENANTS_ON_BOTH" in os.environ else [])])
def database_url(request: pytest.FixtureRequest) -> str:
    """What the engines are asked is seen from gRPC; so one is enough here, unless somebody wants to know."""
    return address_of(request)


@pytest.fixture
async def callers(server: app.Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mapping[str, RestCaller]]:
    """By tenant."""
    monkeypatch.setattr(resuming, "OTID_PATIENCE_S", resuming._OTID_PAUSE_S)
    assert server.http is not None
    made = {tenant: RestCaller(server.http.address, tenant) for tenant in (MINE, THEIRS, STRANGER)}
    yield made
    for each in made.values():
        await each.aclose()


async def test_what_another_tenant_has_is_answered_like_what_never_was(
    channel: grpc.aio.Channel, callers: Mapping[str, RestCaller], receiver: Receiver
) -> None:
    theirs, mine = [
        await Household(GrpcCaller(channel, tenant), tenant, receiver.url()).furnish() for tenant in (THEIRS, MINE)
    ]
    routes = await callers[MINE].routes()
    plans = calls_of(mine)
    assert set(plans) == set(routes)
    stranger = await _state(callers[STRANGER], theirs)
    before = await _state(callers[THEIRS], theirs)
    secret = sorted({THEIRS} | _ids(before) - _ids(stranger))

    nobodys, faults = Nobodys(THEIRS, MINE), list[str]()
    for route, calls in plans.items():
        name = " ".join(route)

        async def ask(asked: Asked, route: Route = route) -> Answer:
            return await callers[MINE].call(route, asked)

        sweep = Sweep(ask, nobodys, secret, _told_of(name, REST_OF_NO_CONSEQUENCE))
        for asked, other in zip(calls, calls_of(theirs)[route], strict=True):
            await sweep.attack(name, asked, other)
        missed = (
            set(_names(routes[route], callers[MINE].document)) - sweep.attacked - _told_of(name, REST_NAMES_NOTHING)
        )
        faults += [*sweep.faults, *(f"{name}: nobody attacks {each}" for each in sorted(missed))]

    after = await _state(callers[THEIRS], theirs)
    faults += [
        f"{name} is not what it was:\n  {told.about()}\n  {after[name].about()}"
        for name, told in before.items()
        if told.about() != after[name].about()
    ]
    assert not faults, "\n\n".join(faults)


async def _state(caller: RestCaller, of: Belongings) -> dict[str, Answer]:
    """All that a caller sees of what there is."""
    reading = {route: calls for route, calls in calls_of(of).items() if route[0] == "GET"}
    return {
        f"{' '.join(route)} {number}": await caller.call(route, call)
        for route, calls in reading.items()
        for number, call in enumerate(calls)
    }


def _ids(state: dict[str, Answer]) -> set[str]:
    return set().union(*(ids_in(answer) for answer in state.values()))


def _told_of(name: str, fields: Collection[str]) -> set[str]:
    """Those of all routes, and those of this one."""
    return {field.removeprefix(f"{name} ") for field in fields}


def _names(told: Mapping[str, Any], document: Any) -> Iterator[str]:
    """All texts that a request can have in its path, its query, its headers and its body."""
    for parameter in told["parameters"]:
        if _is_text(parameter["schema"], document):
            yield parameter["name"]
    body = told.get("requestBody")
    if body is not None:
        yield from _members(body["content"]["application/json"]["schema"], document, ())


def _members(schema: Any, document: Any, within: tuple[str, ...]) -> Iterator[str]:
    if (ref := schema.get("$ref")) is not None:
        if ref not in within:
            yield from _members(_meant(schema, document), document, (*within, ref))
        return
    for name, member in schema.get("properties", {}).items():
        if _is_text(member, document):
            yield name
        yield from _members(member, document, within)
    for part in _parts(schema):
        yield from _members(part, document, within)


def _is_text(schema: Any, document: Any) -> bool:
    schema = _meant(schema, document)
    if "enum" in schema or "const" in schema:
        return False
    return schema.get("type") == "string" or any(_is_text(part, document) for part in _parts(schema))


def _parts(schema: Any) -> Iterator[Any]:
    for kind in ("anyOf", "oneOf", "allOf"):
        yield from schema.get(kind, ())
    if isinstance(schema.get("items"), Mapping):
        yield schema["items"]


def _meant(schema: Any, document: Any) -> Any:
    while (ref := schema.get("$ref")) is not None:
        schema = document["components"]["schemas"][ref.rsplit("/", 1)[1]]
    return schema
