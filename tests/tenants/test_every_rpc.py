"""P10 over gRPC: every method, attacked with everything that another tenant has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc.aio
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tests.fixtures.receiver import Receiver
from tests.tenants.answers import Answer
from tests.tenants.belongings import Belongings, Household
from tests.tenants.leaves import Nobodys
from tests.tenants.names_nothing import NAMES_NOTHING, OF_NO_CONSEQUENCE
from tests.tenants.over_grpc import METHODS, GrpcCaller, reads
from tests.tenants.rpc_plans import calls_of
from tests.tenants.spying import Questions
from tests.tenants.sweep import Sweep, ids_in

MINE, THEIRS = "beta", "alpha"


async def test_what_another_tenant_has_is_answered_like_what_never_was(
    channel: grpc.aio.Channel, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And after the same questions to the store, so that the time does not tell either."""
    questions = Questions()
    questions.watch(monkeypatch)
    alpha, beta = GrpcCaller(channel, THEIRS), GrpcCaller(channel, MINE, questions)
    theirs = await Household(alpha, THEIRS, receiver.url()).furnish()
    stranger = await _state(GrpcCaller(channel, "gamma"), theirs)
    before = await _state(alpha, theirs)
    secret = sorted({THEIRS} | _ids(before) - _ids(stranger))
    mine = await Household(beta, MINE, receiver.url()).furnish()

    nobodys, faults = Nobodys(THEIRS, MINE), list[str]()
    for name, calls in calls_of(mine).items():

        async def ask(call: Any, name: str = name) -> Answer:
            return await beta.call(name, *call)

        sweep = Sweep(ask, nobodys, secret, OF_NO_CONSEQUENCE)
        for call, other in zip(calls, calls_of(theirs)[name], strict=True):
            await sweep.attack(name, call, other)
        missed = set(_names(METHODS[name].input_type)) - sweep.attacked - _harmless(name)
        faults += [*sweep.faults, *(f"{name}: nobody attacks {each}" for each in sorted(missed))]

    after = await _state(alpha, theirs)
    faults += [
        f"{name} is not what it was:\n  {told.about()}\n  {after[name].about()}"
        for name, told in before.items()
        if told.about() != after[name].about()
    ]
    assert not faults, "\n\n".join(faults)


def test_every_method_has_a_plan_of_attack() -> None:
    assert set(calls_of(Belongings.nobodys())) == set(METHODS)


async def _state(caller: GrpcCaller, of: Belongings) -> dict[str, Answer]:
    """All that a caller sees of what there is."""
    reading = {name: calls for name, calls in calls_of(of).items() if reads(name)}
    return {
        f"{name} {number}": await caller.call(name, *call)
        for name, calls in reading.items()
        for number, call in enumerate(calls)
    }


def _ids(state: dict[str, Answer]) -> set[str]:
    return set().union(*(ids_in(answer) for answer in state.values()))


def _harmless(method: str) -> set[str]:
    """Fields that need no attack."""
    return {field.removeprefix(f"{method} ") for field in NAMES_NOTHING}


def _names(message: Descriptor, within: tuple[Descriptor, ...] = ()) -> Iterator[str]:
    """All texts of a request, as message and field."""
    for field in message.fields:
        if field.message_type is not None and field.message_type not in within:
            yield from _names(field.message_type, (*within, field.message_type))
        elif field.type == FieldDescriptor.TYPE_STRING:
            yield f"{message.name}.{field.name}"
