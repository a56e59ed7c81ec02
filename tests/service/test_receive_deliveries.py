"""Whoever cannot be reached from outside pulls: each delivery comes until it is acknowledged, to one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, closing

import grpc
import pytest
from structlog.testing import capture_logs

import sendoff
from sendoff import v1
from sendoff_server import app
from tests.faults.caller import PATIENCE_S, Caller, calling, patiently
from tests.faults.pulling import Handed, Pull, ack, nack, pulling, subscribe
from tests.fixtures.server import Serve

NO_ENDPOINT = "endpoint-0199c3f0-0000-4000-8000-000000000001"
ENDED = "the stream ended before it was acknowledged"


@pytest.fixture
async def caller(server: app.Server) -> AsyncIterator[Caller]:
    async with calling(server.grpc.address) as connected:
        yield connected


@pytest.fixture
async def endpoint(caller: Caller) -> str:
    """An endpoint that is told of starts and ends, and is pulled from."""
    return (await caller.endpoint(None, event_types=["run.started", "run.finished"]))[0]


async def runs(caller: Caller, count: int) -> list[str]:
    """Ids of so many runs that have ended; each brings two deliveries."""
    agents = [await caller.agent("scripted/echo") for _ in range(min(count, 5))]
    sent = await asyncio.gather(*(caller.send(agents[n % len(agents)], "hello") for n in range(count)))
    await asyncio.gather(*(caller.ended(run.id) for run in sent))
    return [run.id for run in sent]


def ids(handed: list[Handed]) -> list[str]:
    return [each.delivery.id for each in handed]


async def delivered(caller: Caller, endpoint_id: str) -> list[str]:
    found = await caller.deliveries(endpoint_id=endpoint_id, statuses=[v1.DELIVERY_STATUS_DELIVERED])
    return [each.id for each in found]


async def stream_ended(server: app.Server) -> None:
    """Wait until the server has ended a stream."""
    async with asyncio.timeout(PATIENCE_S):
        while not server.grpc.calls.ended["CallbackService/ReceiveDeliveries", "UNAVAILABLE"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


# ---- handing out ----


async def test_a_run_is_told_as_it_starts_and_as_it_ends(caller: Caller, endpoint: str) -> None:
    pull = await pulling(caller, endpoint)
    (run_id,) = await runs(caller, 1)
    started, finished = await pull.take_and_ack(2)
    assert (started.delivery.event_type, finished.delivery.event_type) == ("run.started", "run.finished")
    assert (started.delivery.run_id, started.delivery.endpoint_id) == (run_id, endpoint)
    assert finished.run == await caller.get(run_id)
    assert finished.delivery.sequence == finished.run.last_sequence
    assert await pull.end() == []
    for each in (started, finished):
        (told,) = [found for found in await caller.deliveries(run_id=run_id) if found.id == each.delivery.id]
        assert (told.status, told.attempt_count) == (v1.DELIVERY_STATUS_DELIVERED, 1)
        assert (told.attempts[0].error, told.HasField("url")) == ("", False)


async def test_streams_of_one_endpoint_share_and_get_those_of_a_run_in_order(caller: Caller, endpoint: str) -> None:
    made = await runs(caller, 60)
    got: list[Handed] = []
    shares = [0, 0, 0]
    all_there = asyncio.Event()

    async def receive(number: int) -> None:
        pull = await pulling(caller, endpoint, max_unacked=5)
        while True:
            got.append(await pull.next())
            await pull.say(ack(got[-1].delivery.id))
            shares[number] += 1
            if len(got) >= 2 * len(made):
                all_there.set()

    receivers = [asyncio.create_task(receive(number)) for number in range(3)]
    await patiently(all_there.wait())
    for receiver in receivers:
        receiver.cancel()
    await asyncio.wait(receivers)
    assert len(set(ids(got))) == len(got) == 2 * len(made)
    assert sum(share > 0 for share in shares) > 1, shares
    for run_id in made:
        assert [each.delivery.event_type for each in got if each.delivery.run_id == run_id] == [
            "run.started",
            "run.finished",
        ]


async def test_many_pass_through_few_places(caller: Caller) -> None:
    endpoint = (await caller.endpoint(None))[0]
    pull = await pulling(caller, endpoint, max_unacked=10)
    await runs(caller, 100)
    got = ids(await pull.take(10))
    while len(got) < 100:
        reading = asyncio.create_task(pull.next())
        await caller.deliveries(endpoint_id=endpoint)
        assert not reading.done(), "more than ten are on the way"
        await pull.say(*map(ack, got[-10:]))
        got += ids([await reading, *await pull.take(9)])
    await pull.say(*map(ack, got[-10:]))
    assert await pull.end() == []
    assert sorted(await delivered(caller, endpoint)) == sorted(got)
    assert len(set(got)) == 100


async def test_what_one_endpoint_has_is_not_acknowledged_through_another(caller: Caller, endpoint: str) -> None:
    other = (await caller.endpoint(None))[0]
    await runs(caller, 1)
    mine, others = await pulling(caller, endpoint), await pulling(caller, other)
    started = await mine.next()
    ended = await others.next()
    await others.say(ack(started.delivery.id), ack(ended.delivery.id))
    assert await others.end() == []
    assert await delivered(caller, other) == [ended.delivery.id]
    assert await delivered(caller, endpoint) == []
    await mine.end()


# ---- what becomes of them ----


async def test_what_was_on_the_way_when_a_stream_is_cut_comes_to_the_next_at_once(
    caller: Caller, endpoint: str
) -> None:
    await runs(caller, 3)
    first = await pulling(caller, endpoint)
    taken = await first.take(3)
    first.cut()
    second = await pulling(caller, endpoint)
    again = await second.take_and_ack(6)
    assert set(ids(taken)) <= set(ids(again))
    for each in again:
        tried = [attempt.error for attempt in each.delivery.attempts]
        assert tried == ([ENDED] if each.delivery.id in ids(taken) else [])
    await second.end()


async def test_what_is_given_back_waits_for_the_pause_of_the_schedule(caller: Caller, endpoint: str) -> None:
    await runs(caller, 1)
    pull = await pulling(caller, endpoint)
    handed = await pull.next()
    with capture_logs() as logged:
        await pull.say(nack(handed.delivery.id, "busy"))
        assert await pull.end() == []
    (line,) = [each for each in logged if each["event"] == "callback came back"]
    assert (line["delivery_id"], line["given_up"]) == (handed.delivery.id, False)
    assert "busy" not in str(line)
    (told, *_) = await caller.deliveries(endpoint_id=endpoint)
    assert (told.status, told.attempts[0].error) == (v1.DELIVERY_STATUS_PENDING, "busy")
    pause_ns = told.next_attempt_time.ToNanoseconds() - told.attempts[0].start_time.ToNanoseconds()
    assert 1.6e9 <= pause_ns <= 3.0e9


async def test_what_is_not_acknowledged_in_time_comes_again(caller: Caller) -> None:
    endpoint = (await caller.endpoint(None))[0]
    await runs(caller, 1)
    pull = await pulling(caller, endpoint, ack_timeout_s=1)
    first, second = await pull.next(), await pull.next()
    assert first.delivery.id == second.delivery.id
    assert [attempt.error for attempt in second.delivery.attempts] == ["it was not acknowledged within 1 s"]
    with capture_logs() as logged:
        await pull.say(ack(second.delivery.id))
        assert await pull.end() == []
        assert await delivered(caller, endpoint) == [first.delivery.id]
    assert [each["delivery_id"] for each in logged if each["event"] == "callback acknowledged"] == [first.delivery.id]


async def test_what_was_acknowledged_and_is_sent_again_comes_again(caller: Caller) -> None:
    endpoint = (await caller.endpoint(None))[0]
    await runs(caller, 1)
    pull = await pulling(caller, endpoint)
    (first,) = await pull.take_and_ack(1)
    await pull.end()
    pull = await pulling(caller, endpoint)
    asked = v1.RedeliverRequest(delivery_ids=[first.delivery.id])
    assert (await caller.callbacks.Redeliver(asked)).queued == 1
    (again,) = await pull.take_and_ack(1)
    assert (again.delivery.id, again.delivery.attempt_count) == (first.delivery.id, 1)
    await pull.end()


# ---- the end ----


async def test_a_server_that_drains_ends_streams_and_another_one_goes_on(serve: Serve) -> None:
    async with serve() as server, calling(server.grpc.address) as caller:
        endpoint = (await caller.endpoint(None))[0]
        idle = await pulling(caller, (await caller.endpoint(None, event_types=["run.action_required"]))[0])
        await runs(caller, 2)
        pull = await pulling(caller, endpoint)
        kept, acked = await pull.take(2)
        server.use_cases.drain()
        assert (await idle.refusal()).reason == "DRAINING"
        await pull.say(ack(acked.delivery.id))
        refusal = await pull.refusal()
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert (await (await pulling(caller, endpoint)).refusal()).reason == "DRAINING"
    async with serve() as server, calling(server.grpc.address) as caller:
        pull = await pulling(caller, endpoint)
        (again,) = await pull.take_and_ack(1)
        assert again.delivery.id == kept.delivery.id
        assert [attempt.error for attempt in again.delivery.attempts] == [ENDED]
        assert await pull.end() == []
        assert sorted(await delivered(caller, endpoint)) == sorted(ids([kept, acked]))


async def test_an_old_stream_ends_and_the_next_goes_on(serve: Serve) -> None:
    async with serve(max_stream_age_s=1) as server, calling(server.grpc.address) as caller:
        endpoint = (await caller.endpoint(None))[0]
        refusal = await (await pulling(caller, endpoint)).refusal()
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "STREAM_TOO_OLD")


@pytest.mark.parametrize("change", ["disabled", "deleted"])
async def test_an_endpoint_that_is_no_more_ends_its_streams(caller: Caller, change: str) -> None:
    endpoint = (await caller.endpoint(None))[0]
    await runs(caller, 1)
    pull = await pulling(caller, endpoint)
    handed = await pull.next()
    if change == "disabled":
        off = v1.UpdateEndpointRequest(endpoint_id=endpoint, endpoint=v1.CallbackEndpoint(disabled=True))
        await caller.callbacks.UpdateEndpoint(off)
        refusal = await pull.refusal()
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ENDPOINT_DISABLED")
        on = v1.UpdateEndpointRequest(endpoint_id=endpoint, endpoint=v1.CallbackEndpoint())
        on.update_mask.paths.append("disabled")
        await caller.callbacks.UpdateEndpoint(on)
        back = await pulling(caller, endpoint)
        assert ids(await back.take_and_ack(1)) == [handed.delivery.id]
        await back.end()
        return
    await caller.callbacks.DeleteEndpoint(v1.DeleteEndpointRequest(endpoint_id=endpoint))
    refusal = await pull.refusal()
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "ENDPOINT_NOT_FOUND")


# ---- refusals ----


async def test_an_endpoint_that_nothing_can_be_pulled_from_is_refused(caller: Caller) -> None:
    refusal = await (await pulling(caller, NO_ENDPOINT)).refusal()
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "ENDPOINT_NOT_FOUND")
    pushed = (await caller.endpoint("http://127.0.0.1:8999/"))[0]
    refusal = await (await pulling(caller, pushed)).refusal()
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ENDPOINT_HAS_URL")


@pytest.mark.parametrize(
    ("frames", "field"),
    [
        ([], "subscribe"),
        ([ack("delivery-1")], "subscribe"),
        ([subscribe("endpoint-1")], "subscribe.endpoint_id"),
        ([subscribe(NO_ENDPOINT, max_unacked=1_001)], "subscribe.max_unacked"),
        ([subscribe(NO_ENDPOINT, ack_timeout_s=0.5)], "subscribe.ack_timeout"),
    ],
)
async def test_a_first_frame_that_does_not_subscribe_is_refused(
    caller: Caller, frames: list[v1.ReceiveDeliveriesRequest], field: str
) -> None:
    pull = Pull(caller)
    await pull.say(*frames)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await pull.end()
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field in (raised.value.details() or "")


@pytest.mark.parametrize("again", [subscribe(NO_ENDPOINT), v1.ReceiveDeliveriesRequest()], ids=["subscribe", "empty"])
async def test_a_later_frame_that_says_nothing_of_a_delivery_is_refused(
    caller: Caller, endpoint: str, again: v1.ReceiveDeliveriesRequest
) -> None:
    pull = await pulling(caller, endpoint)
    await pull.say(again)
    refusal = await pull.refusal()
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


# ---- our clients ----


async def test_the_asyncio_client_takes_each_once_over_streams_that_end(serve: Serve) -> None:
    async with serve(max_stream_age_s=1) as server, calling(server.grpc.address) as caller:
        endpoint = (await caller.endpoint(None))[0]
        got: list[str] = []
        async with (
            sendoff.AsyncClient(server.grpc.address) as client,
            aclosing(client.receive_deliveries(endpoint)) as deliveries,
        ):
            await runs(caller, 3)
            async for received in deliveries:
                received.ack()
                got.append(received.delivery.id)
                if len(got) == 3:
                    await stream_ended(server)
                    await runs(caller, 2)
                if len(got) == 5:
                    break
        assert sorted(await delivered(caller, endpoint)) == sorted(set(got))


async def test_the_blocking_client_takes_each_once(server: app.Server, endpoint: str, caller: Caller) -> None:
    made = await runs(caller, 5)

    def receive() -> list[v1.Run]:
        told: list[v1.Run] = []
        with (
            sendoff.Client(server.grpc.address) as client,
            closing(client.receive_deliveries(endpoint, max_unacked=2)) as stream,
        ):
            for received in stream:
                told.append(received.run)
                received.ack()
                if len(told) == 10:
                    break
        return told

    told = await asyncio.to_thread(receive)
    assert sorted(run.id for run in told) == sorted(made * 2)
    assert len(await delivered(caller, endpoint)) == 10
