"""P2. Accepted once: the same key or the same OTIDs are the same run, on any door, however concurrently."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.promises.doors import Door, Refused, over_grpc, over_rest
from tests.fixtures.balancer import Addresses

BY = pytest.mark.parametrize("by", ["key", "otid"])
AT_ONCE = 32


@BY
async def test_the_same_key_is_the_same_run_however_often_it_is_sent(door: Door, by: str) -> None:
    agent = await door.agent("scripted/echo")
    sends = [door.send(agent, f"{n}", **{by: f"k-{n}"}) for n in range(10) for _ in range(3)]
    accepted = await asyncio.gather(*sends)

    for at_ in range(0, 30, 3):
        same = accepted[at_ : at_ + 3]
        assert len({each.run_id for each in same}) == 1
        assert [each.replayed for each in same].count(False) == 1
    assert len({each.run_id for each in accepted}) == 10


@BY
async def test_many_who_send_the_same_at_once_get_one_run(door: Door, by: str) -> None:
    agent = await door.agent("scripted/echo")
    accepted = await asyncio.gather(*(door.send(agent, "hello", **{by: "mine"}) for _ in range(AT_ONCE)))

    assert len({each.run_id for each in accepted}) == 1
    assert [each.replayed for each in accepted].count(False) == 1
    await door.ended(accepted[0].run_id)
    assert await door.texts(accepted[0].run_id) == ["hello", "You said: hello"]


@BY
async def test_many_who_send_the_same_at_once_through_both_doors_get_one_run(addresses: Addresses, by: str) -> None:
    async with over_grpc(*addresses) as one, over_rest(*addresses) as other:
        agent = await one.agent("scripted/echo")
        sends = [door.send(agent, "hello", **{by: "mine"}) for door in (one, other) for _ in range(AT_ONCE // 2)]
        accepted = await asyncio.gather(*sends)

    assert len({each.run_id for each in accepted}) == 1
    assert [each.replayed for each in accepted].count(False) == 1


@BY
async def test_the_same_key_with_another_body_is_refused_and_names_the_run(door: Door, by: str) -> None:
    agent = await door.agent("scripted/echo")
    accepted = await door.send(agent, "hello", **{by: "mine"})

    with pytest.raises(Refused) as refused:
        await door.send(agent, "something else", **{by: "mine"})
    assert refused.value.reason == "IDEMPOTENCY_MISMATCH"
    assert accepted.run_id in refused.value.text


@BY
@pytest.mark.parametrize("first", ["grpc", "rest"])
async def test_a_key_is_the_same_through_whichever_door(addresses: Addresses, by: str, first: str) -> None:
    async with over_grpc(*addresses) as one, over_rest(*addresses) as other:
        sending, repeating = (one, other) if first == "grpc" else (other, one)
        agent = await one.agent("scripted/echo")
        sent = await sending.send(agent, "hello", **{by: "mine"})
        again = await repeating.send(agent, "hello", **{by: "mine"})
        with pytest.raises(Refused) as refused:
            await repeating.send(agent, "something else", **{by: "mine"})

    assert (again.run_id, sent.replayed, again.replayed) == (sent.run_id, False, True)
    assert sent.run_id in refused.value.text


@BY
async def test_a_key_is_the_same_after_the_run_has_ended(door: Door, by: str) -> None:
    agent = await door.agent("scripted/echo")
    sent = await door.send(agent, "hello", **{by: "mine"})
    ended = await door.ended(sent.run_id)

    again = await door.send(agent, "hello", **{by: "mine"})
    assert (again.run_id, again.replayed) == (sent.run_id, True)
    assert await door.run(sent.run_id) == ended


async def test_without_a_key_every_request_is_its_own(door: Door) -> None:
    agent = await door.agent("scripted/echo")
    accepted = await asyncio.gather(*(door.send(agent, "hello") for _ in range(5)))

    assert len({each.run_id for each in accepted}) == 5
    assert not any(each.replayed for each in accepted)
