"""The deliveries of an endpoint come to the loop, and nothing is acknowledged but what the loop says it has handled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing, closing
from typing import Any

import grpc
import pytest

import sendoff
from sendoff import v1
from sendoff.receiving import Received, Receiving
from sendoff.retry import RetryPolicy, Timing
from tests.unit.client.scripted_server import RESET, RUN_ID, UNAVAILABLE, Asker, Failure, Hear, ScriptedServer

ENDPOINT_ID = "endpoint-00000000-0000-4000-8000-000000000001"
TOO_OLD = Failure(grpc.StatusCode.UNAVAILABLE, reason="STREAM_TOO_OLD")

Do = Callable[[Received], None]


def handed(name: str, *errors: str) -> v1.ReceiveDeliveriesResponse:
    """A delivery after attempts that ended so; empty: it succeeded."""
    attempts = [v1.DeliveryAttempt(error=error) for error in errors]
    return v1.ReceiveDeliveriesResponse(
        delivery=v1.Delivery(id=name, run_id=RUN_ID, attempts=attempts), run=v1.Run(id=RUN_ID)
    )


def answers(frames: list[v1.ReceiveDeliveriesRequest]) -> list[str]:
    """What was said behind the first frame: "+a" acknowledges a, "-a why" gives it back."""
    assert frames[0].HasField("subscribe")
    return [
        f"-{frame.nack.delivery_id} {frame.nack.error}" if frame.HasField("nack") else f"+{frame.ack_delivery_id}"
        for frame in frames[1:]
    ]


async def take(asker: Asker, count: int, do: Do = Received.ack, **options: Any) -> list[str]:
    """Ids of so many deliveries, each handled so; then the loop is left."""
    got: list[str] = []

    def handled(received: Received) -> bool:
        do(received)
        got.append(received.delivery.id)
        return len(got) == count

    def blocking(client: sendoff.Client) -> None:
        with closing(client.receive_deliveries(ENDPOINT_ID, **options)) as deliveries:
            any(map(handled, deliveries))

    if isinstance(asker.client, sendoff.Client):
        await asyncio.to_thread(blocking, asker.client)
        return got
    async with aclosing(asker.client.receive_deliveries(ENDPOINT_ID, **options)) as deliveries:
        async for each in deliveries:
            if handled(each):
                break
    return got


def nothing(_: Received) -> None:
    """Neither acknowledge nor give back."""


async def test_each_is_acknowledged_and_the_end_waits_for_the_server(asker: Asker, server: ScriptedServer) -> None:
    server.plan_pulls([handed("a"), handed("b")])
    assert await take(asker, 2) == ["a", "b"]
    assert answers(server.said[0]) == ["+a", "+b"]
    assert server.ended_well == 1


async def test_what_the_loop_does_not_acknowledge_is_not_acknowledged(asker: Asker, server: ScriptedServer) -> None:
    server.plan_pulls([handed("a"), handed("b")])
    await take(asker, 2, nothing)
    assert answers(server.said[0]) == []


async def test_what_is_given_back_says_why_and_no_more_than_fits(asker: Asker, server: ScriptedServer) -> None:
    server.plan_pulls([handed("a")])
    await take(asker, 1, lambda received: received.nack("x" * 600))
    assert answers(server.said[0]) == ["-a " + "x" * 500]


async def test_of_ack_and_nack_the_first_counts(asker: Asker, server: ScriptedServer) -> None:
    server.plan_pulls([handed("a"), handed("b")])

    def both(received: Received) -> None:
        first, second = (received.ack, received.nack) if received.delivery.id == "a" else (received.nack, received.ack)
        first()
        second()
        first()

    await take(asker, 2, both)
    assert answers(server.said[0]) == ["+a", "-b "]


async def test_options_are_those_of_the_contract(asker: Asker, server: ScriptedServer) -> None:
    server.plan_pulls([handed("a")], [handed("a")])
    await take(asker, 1)
    await take(asker, 1, max_unacked=3, ack_timeout_s=1.5)
    plain, chosen = (said[0].subscribe for said in server.said)
    assert (plain.endpoint_id, plain.max_unacked, plain.HasField("ack_timeout")) == (ENDPOINT_ID, 10, False)
    assert (chosen.max_unacked, chosen.ack_timeout.ToNanoseconds()) == (3, 1_500_000_000)


async def test_a_stream_that_is_cut_is_opened_again(asker: Asker, server: ScriptedServer) -> None:
    server.plan_pulls([handed("a"), Hear(2), UNAVAILABLE], [RESET], [handed("b")])
    assert await take(asker, 2) == ["a", "b"]
    assert asker.sleeps.taken_s == [0.05, 0.1]
    assert [answers(each) for each in server.said if len(each) > 1] == [["+a"], ["+b"]]


async def test_a_receiver_that_nothing_comes_for_goes_on_over_any_number_of_streams(
    asker: Asker, server: ScriptedServer
) -> None:
    server.plan_pulls(*[[TOO_OLD]] * 30, [handed("a")])
    assert await take(asker, 1) == ["a"]


async def test_an_acknowledgement_that_was_lost_is_said_again(asker: Asker, server: ScriptedServer) -> None:
    for again in (handed("a"), handed("a", "the stream ended")):
        server.plan_pulls([handed("a"), Hear(2), UNAVAILABLE], [again, Hear(2), handed("b")])
        assert await take(asker, 2) == ["a", "b"]
        assert answers(server.said[-1]) == ["+a", "+b"]


async def test_what_somebody_had_sent_again_comes_again(asker: Asker, server: ScriptedServer) -> None:
    server.plan_pulls([handed("a"), Hear(2), handed("a", ""), handed("a", "", "the stream ended")])

    def first_time(received: Received) -> None:
        if not received.delivery.attempts:
            received.ack()

    assert await take(asker, 3, first_time) == ["a"] * 3
    assert answers(server.said[0]) == ["+a"]


async def test_an_endpoint_that_is_disabled_ends_the_loop(asker: Asker, server: ScriptedServer) -> None:
    disabled = Failure(grpc.StatusCode.FAILED_PRECONDITION, reason="ENDPOINT_DISABLED")
    # Heard first, because grpc.aio tells of an end that meets a frame on its way as INTERNAL.
    server.plan_pulls([handed("a"), Hear(2), disabled])
    with pytest.raises(sendoff.EndpointDisabled):
        await take(asker, 2)
    assert asker.sleeps.taken_s == []


async def test_a_server_that_is_not_there_is_given_up(asker: Asker, server: ScriptedServer) -> None:
    server.plan_pulls(*[[UNAVAILABLE]] * 6)
    with pytest.raises(sendoff.Unavailable):
        await take(asker, 1)
    assert asker.sleeps.taken_s == [0.05, 0.1, 0.2, 0.4, 0.8]


async def test_a_task_that_is_cancelled_in_the_loop_has_its_acknowledgements_said(server: ScriptedServer) -> None:
    server.plan_pulls([handed("a")])
    got = asyncio.Event()

    async def loop(client: sendoff.AsyncClient) -> None:
        async with aclosing(client.receive_deliveries(ENDPOINT_ID)) as deliveries:
            async for each in deliveries:
                each.ack()
                got.set()

    async with sendoff.AsyncClient(server.address) as client:
        task = asyncio.create_task(loop(client))
        await got.wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (answers(server.said[0]), server.ended_well) == (["+a"], 1)


def test_a_stream_that_lasted_had_worked_though_it_brought_nothing() -> None:
    now_s = 0.0
    never = RetryPolicy(max_attempts=1)
    receiving = Receiving(
        ENDPOINT_ID,
        {},
        connect=never,
        reconnect=RetryPolicy(),
        timing=Timing(monotonic=lambda: now_s, draw=lambda: 0.0),
    )
    cut = sendoff.Unavailable("cut", code=grpc.StatusCode.UNAVAILABLE)
    receiving.begin(lambda _: None)
    with pytest.raises(sendoff.Unavailable):
        receiving.pause_s(cut)
    for _ in range(100):
        receiving.begin(lambda _: None)
        now_s += 10.0
        assert receiving.pause_s(cut) == 0.05


def test_a_stream_that_ends_for_no_reason_is_one_that_was_cut() -> None:
    receiving = Receiving(
        ENDPOINT_ID, {}, connect=RetryPolicy(max_attempts=2), reconnect=RetryPolicy(), timing=Timing(draw=lambda: 0.0)
    )
    receiving.begin(lambda _: None)
    assert receiving.pause_s(None) == 0.05
    with pytest.raises(sendoff.Unavailable, match="again and again"):
        receiving.pause_s(None)
