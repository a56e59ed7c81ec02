"""P5. One gap-free log: events 1 to n, the end last; whoever resumes from any number misses nothing and sees nothing
twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.contract.promises.conftest import HELD
from tests.contract.promises.doors import Door, Place, over_grpc, over_rest
from tests.faults.caller import patiently, script
from tests.fixtures.balancer import Addresses
from tests.fixtures.scripted_gate import HeldCalls

STEPS = [{"reasoning": "let me think", "tool_calls": [{"name": "nothing"}]}, {"text": "there is no such tool"}]


async def _followed(door: Door, run_id: str, after: int = 0) -> list[Place]:
    return [place async for place in door.follow(run_id, after)]


def _every_cut(places: Sequence[Place]) -> Iterator[tuple[list[Place], int]]:
    for cut in range(len(places)):
        yield list(places[: cut + 1]), places[cut].number


async def test_a_stream_taken_up_after_any_event_misses_nothing_and_tells_nothing_twice(door: Door) -> None:
    agent = await door.agent()
    run_id = (await door.send(agent, script(steps=STEPS))).run_id
    live = await patiently(_followed(door, run_id))
    whole = await _followed(door, run_id)

    assert live == whole
    assert [place.number for place in whole] == sorted({place.number for place in whole})
    assert len(whole) >= 5
    for had, number in _every_cut(whole):
        assert had + await _followed(door, run_id, number) == whole


async def test_the_log_has_no_gaps_and_its_end_comes_last(door: Door) -> None:
    agent = await door.agent()
    run_id = (await door.send(agent, script(steps=STEPS))).run_id
    await door.ended(run_id)
    log = await door.log(run_id)

    assert [event["sequence"] for event in log] == list(range(1, len(log) + 1))
    assert [event["type"] for event in log].count("finished") == 1
    assert log[-1]["type"] == "finished"


async def test_the_log_is_the_same_through_both_doors(addresses: Addresses) -> None:
    async with over_grpc(*addresses) as one, over_rest(*addresses) as other:
        agent = await one.agent()
        run_id = (await other.send(agent, script(steps=STEPS))).run_id
        await one.ended(run_id)

        assert await one.log(run_id) == await other.log(run_id)
        assert await one.entries(run_id) == await other.entries(run_id)
        shown = [entry["message_type"] for entry in await other.entries(run_id)]
        told = [place.told for place in await _followed(other, run_id)]
        assert [kind for kind in shown if kind != "user_message"] == [_kind(each) for each in told[:-2]]


def _kind(line: str) -> str:
    return line.partition('"message_type":"')[2].partition('"')[0]


async def test_a_watcher_that_goes_away_leaves_the_run_alone(gate: HeldCalls, door: Door) -> None:
    agent = await door.agent()
    run_id = (await door.send(agent, script(steps=[{"tool_calls": [{"name": "nothing"}]}, {"text": HELD}]))).run_id
    stream = door.follow(run_id)
    await patiently(anext(stream))
    await stream.aclose()  # type: ignore[attr-defined]  # they are generators
    gate.release(2)

    assert (await patiently(door.ended(run_id)))["status"] == "completed"
