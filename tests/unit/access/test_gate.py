"""Who is let in: the key, its life, its role; and that refusals tell nothing about keys."""

from __future__ import annotations

import pytest

from sendoff import api_key
from sendoff_server.access.gate import Credentials
from sendoff_server.access.making import BadKey, new_key
from sendoff_server.access.principal import Permission, Principal, Role
from sendoff_server.clock import SECOND_NS
from sendoff_server.errors import PermissionDenied, ServiceError, Unauthenticated
from tests.unit.access.keys import World, a_world

READ, SEND, MANAGE = Permission.READ, Permission.SEND, Permission.MANAGE
DAY_NS = 86_400 * SECOND_NS


@pytest.fixture
def world() -> World:
    return a_world()


async def test_without_keys_everybody_is_let_in_as_the_one_tenant_whatever_they_bring(world: World) -> None:
    for credentials in (Credentials(), Credentials("Bearer any"), Credentials(None, ("spiffe://acme",))):
        principal = await world.gate.admit(credentials, *Permission)
        assert principal == Principal("default", None)


async def test_a_key_tells_tenant_role_id_and_name(world: World) -> None:
    made, brought = world.key(role=Role.READ_ONLY, name="hans")
    assert await world.gate.admit(brought, READ) == Principal("acme", Role.READ_ONLY, made.id, "hans")
    assert brought.authorization is not None
    assert await world.gate.admit(Credentials(brought.authorization.replace("Bearer", "bearer"))) is not None


async def test_a_role_that_is_not_enough_is_told_which_permission_is_missing(world: World) -> None:
    _, brought = world.key(role=Role.SEND_ONLY)
    with pytest.raises(PermissionDenied) as denied:
        await world.gate.admit(brought, SEND, READ)
    assert denied.value.metadata == {"role": "send-only", "permission": "READ"}


async def test_every_credential_that_is_no_good_is_refused_in_the_same_words(world: World) -> None:
    _, good = world.key()
    revoked, of_revoked = world.key()
    world.revoke(revoked)
    _, of_expired = world.key(expires_ns=world.clock.now_ns())
    world.key(certificate="spiffe://acme/worker")
    token = str(good.authorization).removeprefix("Bearer ")
    refused = [
        Credentials(),
        of_revoked,
        of_expired,
        Credentials(f"Bearer {api_key.new()}"),
        Credentials(f"Bearer {token[:-1]}"),
        Credentials(f"Bearer {token[:27]}-{api_key.new()[28:]}"),
        Credentials(f"Basic {token}"),
        Credentials(token),
        Credentials(f"Bearer {token},Bearer {token}"),
        Credentials("Bearer"),
        Credentials(""),
        Credentials(None, ("spiffe://acme/other",)),
        Credentials("Bearer nonsense", ("spiffe://acme/worker",)),
    ]
    told: set[tuple[str, str]] = set()
    for credentials in refused:
        with pytest.raises(ServiceError) as refusal:
            await world.gate.admit(credentials, READ)
        assert type(refusal.value) is Unauthenticated, credentials
        told.add((refusal.value.message, str(refusal.value.metadata)))
    assert len(told) == 1
    await world.gate.admit(good, READ)


async def test_a_certificate_stands_for_a_key_by_any_of_its_names(world: World) -> None:
    made, _ = world.key(certificate="spiffe://acme/worker", role=Role.OPERATOR)
    principal = await world.gate.admit(Credentials(None, ("worker.acme", "spiffe://acme/worker")), READ)
    assert (principal.key_id, principal.role) == (made.id, Role.OPERATOR)


async def test_a_key_that_expires_counts_until_then_without_anybody_looking(world: World) -> None:
    _, brought = world.key(expires_ns=world.clock.now_ns() + SECOND_NS // 2)
    await world.gate.admit(brought, READ)
    looks = world.store.looks
    await world.clock.advance(0.5)
    with pytest.raises(Unauthenticated):
        await world.gate.admit(brought, READ)
    assert world.store.looks <= looks + 1


def test_what_is_stored_of_a_key_is_not_the_key() -> None:
    made, token = new_key(tenant="acme", role=Role.FULL, name="", expires_ns=None, certificate="", now_ns=1)
    assert token is not None
    assert made.secret_hash is not None
    assert len(made.secret_hash) == 32
    assert token not in repr(made)
    assert token[28:] not in repr(made)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tenant": ""},
        {"tenant": "two words"},
        {"tenant": "../acme"},
        {"tenant": "a" * 65},
        {"name": "line\nline"},
        {"name": "a" * 129},
        {"certificate": "\0"},
        {"certificate": "a" * 1_025},
    ],
)
def test_keys_with_names_that_nobody_could_read_are_not_made(wrong: dict[str, str]) -> None:
    told = {"tenant": "acme", "name": "", "certificate": "", **wrong}
    with pytest.raises(BadKey):
        new_key(**told, role=Role.FULL, expires_ns=None, now_ns=1)
