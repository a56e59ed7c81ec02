"""How old may be what a process knows of keys, and what that costs the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from sendoff import api_key
from sendoff_server.access.gate import Credentials
from sendoff_server.access.principal import Permission
from sendoff_server.access.ring import BETWEEN_LOOKS_S, FRESH_S, LIFE_S
from sendoff_server.clock import SECOND_NS
from sendoff_server.errors import Unauthenticated
from sendoff_server.store.port import StoreFailed
from tests.unit.access.keys import World, a_world

READ = Permission.READ


@pytest.fixture
def world() -> World:
    return a_world()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for is in no hurry to tell
            await asyncio.sleep(0)


async def test_callers_with_keys_ask_the_store_once_a_second_and_do_not_wait_for_it(world: World) -> None:
    _, brought = world.key()
    await world.gate.admit(brought, READ)
    for _ in range(50):
        await world.gate.admit(brought, READ)
    assert world.store.looks == 1

    await world.clock.advance(FRESH_S)
    world.store.gate.clear()
    await world.gate.admit(brought, READ)
    await world.gate.admit(brought, READ)
    await until(lambda: world.store.looks == 2)
    world.store.gate.set()


async def test_a_revoked_key_lets_nobody_in_two_seconds_later(world: World) -> None:
    made, brought = world.key()
    await world.gate.admit(brought, READ)
    world.revoke(made)
    await world.clock.advance(LIFE_S)
    with pytest.raises(Unauthenticated):
        await world.gate.admit(brought, READ)


async def test_while_the_store_is_away_keys_count_for_two_seconds_and_then_nobody_is_let_in(world: World) -> None:
    _, brought = world.key()
    await world.gate.admit(brought, READ)
    world.store.away = True
    await world.clock.advance(LIFE_S - 0.1)
    await world.gate.admit(brought, READ)
    await world.clock.advance(0.1)
    with pytest.raises(StoreFailed):
        await world.gate.admit(brought, READ)

    world.store.away = False
    await world.gate.admit(brought, READ)


async def test_a_look_that_began_too_long_ago_lets_nobody_in(world: World) -> None:
    made, brought = world.key()
    await world.gate.admit(brought, READ)
    await world.clock.advance(LIFE_S)
    world.store.gate.clear()
    asked = asyncio.create_task(world.gate.admit(brought, READ))
    await until(lambda: world.store.looks == 2)
    world.revoke(made)
    await world.clock.advance(LIFE_S)
    world.store.gate.set()
    with pytest.raises(Unauthenticated):
        await asked


async def test_a_new_key_is_known_at_once(world: World) -> None:
    _, first = world.key()
    await world.gate.admit(first, READ)
    await world.clock.advance(0.1)
    _, second = world.key()
    await world.gate.admit(second, READ)
    assert world.store.looks == 2


async def test_a_key_that_is_made_right_after_a_look_is_waited_for(world: World) -> None:
    _, first = world.key()
    await world.gate.admit(first, READ)
    await world.clock.advance(0.01)
    _, second = world.key()
    asked = asyncio.create_task(world.gate.admit(second, READ))
    await until(lambda: world.clock.sleepers)
    await world.clock.advance(BETWEEN_LOOKS_S)
    assert (await asked).tenant == "acme"


async def test_keys_that_nobody_has_made_cost_the_store_ten_questions_a_second_at_most(world: World) -> None:
    _, first = world.key()
    await world.gate.admit(first, READ)
    asked: list[asyncio.Task[object]] = []
    for _ in range(100):
        await world.clock.advance(0.01)
        unknown = Credentials(f"Bearer {api_key.new()}")
        asked.append(asyncio.create_task(world.gate.admit(unknown, READ)))
    await world.clock.advance(1)
    refusals = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(refusal) for refusal in refusals} == {Unauthenticated}
    assert world.store.looks <= 1 + 10 + 2


async def test_what_cannot_be_a_key_costs_the_store_nothing(world: World) -> None:
    _, first = world.key()
    await world.gate.admit(first, READ)
    await world.clock.advance(FRESH_S / 2)
    for brought in (Credentials(), Credentials("Bearer nobody's"), Credentials(f"Bearer {api_key.new()[:-1]}")):
        with pytest.raises(Unauthenticated):
            await world.gate.admit(brought, READ)
    assert world.store.looks == 1


async def test_who_brings_the_very_first_key_is_not_taken_for_nobody(world: World) -> None:
    await world.gate.admit(Credentials(), READ)
    await world.clock.advance(BETWEEN_LOOKS_S)
    made, brought = world.key()
    assert (await world.gate.admit(brought, READ)).key_id == made.id


async def test_streams_break_off_once_a_key_counts_no_more_and_go_on_while_the_store_is_away(world: World) -> None:
    made, brought = world.key()
    principal = await world.gate.admit(brought, READ)
    world.store.away = True
    await world.clock.advance(10 * LIFE_S)
    await world.gate.recheck(principal)
    world.store.away = False
    world.revoke(made)
    with pytest.raises(Unauthenticated):
        await world.gate.recheck(principal)


async def test_streams_break_off_once_a_key_has_expired(world: World) -> None:
    _, brought = world.key(expires_ns=world.clock.now_ns() + SECOND_NS)
    principal = await world.gate.admit(brought, READ)
    await world.gate.recheck(principal)
    await world.clock.advance(1)
    with pytest.raises(Unauthenticated):
        await world.gate.recheck(principal)


async def test_streams_of_nobody_break_off_with_the_first_key(world: World) -> None:
    nobody = await world.gate.admit(Credentials(), READ)
    await world.gate.recheck(nobody)
    world.key()
    await world.clock.advance(LIFE_S)
    with pytest.raises(Unauthenticated):
        await world.gate.recheck(nobody)


async def test_callers_that_come_together_share_a_look(world: World) -> None:
    _, brought = world.key()
    world.store.gate.clear()
    asked = [asyncio.create_task(world.gate.admit(brought, READ)) for _ in range(20)]
    await until(lambda: world.store.looks)
    world.store.gate.set()
    assert len({principal.key_id for principal in await asyncio.gather(*asked)}) == 1
    assert world.store.looks == 1


async def test_a_caller_who_goes_away_takes_the_look_from_nobody(world: World) -> None:
    _, brought = world.key()
    world.store.gate.clear()
    gone = asyncio.create_task(world.gate.admit(brought, READ))
    stays = asyncio.create_task(world.gate.admit(brought, READ))
    await until(lambda: world.store.looks)
    gone.cancel()
    await asyncio.wait([gone])
    world.store.gate.set()
    assert (await stays).tenant == "acme"


async def test_once_there_were_keys_a_database_without_any_lets_nobody_in(world: World) -> None:
    _, brought = world.key()
    await world.gate.admit(brought, READ)
    world.store.keys, world.store.last = {}, 0
    for _ in range(2):
        await world.clock.advance(LIFE_S)
        with pytest.raises(Unauthenticated):
            await world.gate.admit(Credentials(), READ)
    with pytest.raises(Unauthenticated):
        await world.gate.admit(brought, READ)


async def test_a_key_of_a_role_that_this_version_does_not_know_lets_nobody_in_and_others_do(world: World) -> None:
    _, brought = world.key()
    strange, of_strange = world.key()
    world.store.put(replace(strange, role="auditor"))
    await world.gate.admit(brought, READ)
    with pytest.raises(Unauthenticated):
        await world.gate.admit(of_strange, READ)


async def test_the_use_of_keys_is_written_at_once_and_then_once_a_minute_and_at_the_end(world: World) -> None:
    first, of_first = world.key()
    second, of_second = world.key()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(world.ring.running())
        began_ns = world.clock.now_ns()
        await world.gate.admit(of_first, READ)
        await until(lambda: world.store.used == [{first.id: began_ns}])
        await world.clock.advance(1)
        for _ in range(5):
            await world.gate.admit(of_first, READ)
        await world.gate.admit(of_second, READ)
        await world.clock.advance(58)
        assert len(world.store.used) == 1
        await world.clock.advance(1)
        later_ns = began_ns + SECOND_NS
        await until(lambda: world.store.used[1:] == [{first.id: later_ns, second.id: later_ns}])
        await world.gate.admit(of_second, READ)
    assert world.store.used[2:] == [{second.id: world.clock.now_ns()}]


async def test_a_store_that_is_away_when_use_is_noted_does_no_harm(world: World) -> None:
    _, brought = world.key()
    async with world.ring.running():
        await world.gate.admit(brought, READ)
        world.store.away = True
    assert all(len(used) == 1 for used in world.store.used)
