"""Streams of ReceiveDeliveries, with the outbox, time and the receiver in the test's hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from sendoff import v1
from sendoff_server.callbacks import pull_stream
from sendoff_server.callbacks.on_the_way import STREAM_ENDED
from sendoff_server.callbacks.pulling import SUBSCRIBE_S
from sendoff_server.clock import SECOND_NS
from sendoff_server.errors import (
    Draining,
    EndpointDisabled,
    EndpointHasUrl,
    EndpointNotFound,
    InvalidRequest,
    ServiceError,
    StreamTooOld,
)
from sendoff_server.store.port import DEFAULT_TENANT, StoreFailed
from tests.unit.callbacks.pulled import (
    ENDPOINT_ID,
    MAX_AGE_S,
    PATIENCE_S,
    Desk,
    Receiver,
    frames_of,
    settled,
    subscribe,
)

DAY_NS = 24 * 3_600 * SECOND_NS


@pytest.fixture
async def desk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(pull_stream, "GATHER_S", 0)
    made = Desk()
    yield made
    await made.close()


async def ended(receiver: Receiver) -> None:
    """Its end; raises what it ended with."""
    async with asyncio.timeout(PATIENCE_S):
        await receiver.ended


# ---- handing out ----


async def test_no_more_than_was_asked_for_is_on_the_way(desk: Desk) -> None:
    made = desk.put(5)
    receiver = Receiver(desk, subscribe(max_unacked=2))
    await settled()
    assert receiver.ids == made[:2]
    receiver.ack(made[0])
    await settled()
    assert receiver.ids == made[:3]
    assert desk.outbox.noted() == [(made[0], "", None)]


async def test_a_ring_brings_what_is_new_at_once(desk: Desk) -> None:
    receiver = Receiver(desk, subscribe())
    await settled()
    made = desk.put(3)
    await settled()
    assert receiver.ids == made
    assert [each.run.id for each in receiver.got] == [each.delivery.run_id for each in receiver.got]


async def test_what_is_due_without_a_ring_comes_within_a_second(desk: Desk) -> None:
    receiver = Receiver(desk, subscribe())
    await settled()
    made = desk.outbox.put()
    await settled()
    assert receiver.ids == []
    await desk.clock.advance(pull_stream.POLL_S)
    await settled()
    assert receiver.ids == made


async def test_a_stream_at_rest_looks_once_a_second(desk: Desk) -> None:
    Receiver(desk, subscribe())
    await settled()
    before = desk.outbox.claims
    for _ in range(10):
        await desk.clock.advance(1.0)
        await settled()
    assert desk.outbox.claims - before == 10


async def test_a_stream_with_no_room_does_not_look(desk: Desk) -> None:
    desk.put(2)
    Receiver(desk, subscribe(max_unacked=1))
    await settled()
    before = desk.outbox.claims
    for _ in range(10):
        desk.doorbell.ring()
        await desk.clock.advance(1.0)
        await settled()
    assert desk.outbox.claims == before


async def test_two_streams_share_and_neither_gets_what_the_other_has(desk: Desk) -> None:
    made = desk.put(10)
    receivers = [Receiver(desk, subscribe(max_unacked=3)) for _ in range(2)]
    await settled()
    assert sorted(receivers[0].ids + receivers[1].ids) == sorted(made[:6])
    for _ in range(4):
        for receiver in receivers:
            for each in receiver.ids:
                receiver.ack(each)  # most of them again
        await settled()
    assert sorted(receivers[0].ids + receivers[1].ids) == sorted(made)
    assert sorted(each.delivery_id for each in desk.outbox.notes) == sorted(made)


async def test_streams_look_one_after_the_other_so_that_none_is_told_of_what_another_takes(desk: Desk) -> None:
    made = desk.put(4)
    desk.outbox.claiming = asyncio.Event()
    receivers = [Receiver(desk, subscribe(max_unacked=2)) for _ in range(2)]
    await settled()
    assert desk.outbox.claims == 1
    desk.outbox.claiming.set()
    await settled()
    assert [receiver.ids for receiver in receivers] == [made[:2], made[2:]]


async def test_an_endpoint_that_was_disabled_a_moment_ago_is_refused_at_once(desk: Desk) -> None:
    Receiver(desk, subscribe())
    await settled()
    desk.outbox.endpoint_now = v1.CallbackEndpoint(id=ENDPOINT_ID, disabled=True)
    with pytest.raises(EndpointDisabled):
        await ended(Receiver(desk, subscribe()))


async def test_a_receiver_that_does_not_read_holds_one_page(desk: Desk) -> None:
    made = desk.put(200)
    responses = desk.pulling.receive(DEFAULT_TENANT, frames_of(subscribe(max_unacked=100, ack_timeout_s=60)))
    assert (await anext(responses)).delivery.id == made[0]
    await settled()
    assert len(desk.outbox.held) == pull_stream.PAGE
    await desk.clock.advance(60.0)
    await settled()
    assert desk.outbox.held == {}
    assert {each[0] for each in desk.outbox.noted()} == set(made[: pull_stream.PAGE])
    assert [each.delivery_id for each in desk.outbox.notes if each.attempt is not None] == [made[0]]
    assert (await anext(responses)).delivery.id not in made[: pull_stream.PAGE]
    await responses.aclose()


async def test_two_thousand_pass_through_ten_places(desk: Desk) -> None:
    made = desk.put(2_000)
    receiver = Receiver(desk, subscribe(max_unacked=10))
    acked = 0
    while acked < 2_000:
        await settled()
        assert len(receiver.got) - acked <= 10
        for each in receiver.ids[acked:]:
            receiver.ack(each)
            acked += 1
    await settled()
    assert receiver.ids == made
    assert desk.outbox.most_held == 10
    assert desk.outbox.held == {}


# ---- what becomes of them ----


async def test_what_is_given_back_comes_again_after_the_pause_of_the_schedule(desk: Desk) -> None:
    (made,) = desk.put()
    receiver = Receiver(desk, subscribe())
    await settled()
    receiver.nack(made, "busy")
    await settled()
    assert desk.outbox.noted() == [(made, "busy", 2.0)]
    await desk.clock.advance(1.0)
    await settled()
    assert receiver.ids == [made]
    await desk.clock.advance(1.0)
    await settled()
    assert [each.delivery.attempt_count for each in receiver.got] == [0, 1]
    receiver.nack(made)
    await settled()
    assert desk.outbox.noted()[1] == (made, "the receiver gave it back", 6.0)


async def test_what_is_not_acknowledged_in_time_is_a_failed_attempt(desk: Desk) -> None:
    first = desk.put()
    receiver = Receiver(desk, subscribe(ack_timeout_s=30))
    await settled()
    await desk.clock.advance(10.0)
    second = desk.put()
    await settled()
    await desk.clock.advance(20.0)
    await settled()
    assert desk.outbox.noted() == [(*first, "it was not acknowledged within 30 s", 2.0)]
    receiver.ack(*first)  # too late
    receiver.ack(*second)
    await settled()
    assert desk.outbox.noted()[1:] == [(*second, "", None)]


@pytest.mark.parametrize("answer", [Receiver.ack, Receiver.nack])
async def test_what_is_not_on_the_way_is_not_touched(desk: Desk, answer: Callable[[Receiver, str], None]) -> None:
    (made,) = desk.put()
    other = Receiver(desk, subscribe())
    await settled()
    receiver = Receiver(desk, subscribe())
    answer(receiver, made)
    answer(receiver, "delivery-of-nobody")
    await settled()
    assert (other.ids, desk.outbox.notes) == ([made], [])
    assert not receiver.ended.done()


async def test_a_second_acknowledgement_changes_nothing(desk: Desk) -> None:
    (made,) = desk.put()
    receiver = Receiver(desk, subscribe())
    await settled()
    receiver.ack(made)
    receiver.ack(made)
    receiver.nack(made, "changed my mind")
    await settled()
    assert desk.outbox.noted() == [(made, "", None)]


async def test_an_attempt_tells_when_it_began_and_how_long_it_took(desk: Desk) -> None:
    (made,) = desk.put()
    receiver = Receiver(desk, subscribe())
    await settled()
    began_ns = desk.clock.now_ns()
    await desk.clock.advance(1.5)
    receiver.ack(made)
    await settled()
    (note,) = desk.outbox.notes
    assert note.attempt is not None
    assert (note.attempt.start_time.ToNanoseconds(), note.attempt.duration_ns) == (began_ns, 1_500_000_000)


async def test_one_that_has_waited_for_days_has_all_its_attempts(desk: Desk) -> None:
    (made,) = desk.put(create_ns=desk.clock.now_ns() - 5 * DAY_NS)
    receiver = Receiver(desk, subscribe())
    await settled()
    receiver.nack(made)
    await settled()
    assert desk.outbox.noted() == [(made, "the receiver gave it back", 2.0)]


async def test_one_that_had_its_attempts_is_given_up(desk: Desk) -> None:
    (made,) = desk.put(create_ns=desk.clock.now_ns() - 3 * DAY_NS, attempts=25)
    receiver = Receiver(desk, subscribe())
    await settled()
    receiver.nack(made, "never")
    await settled()
    assert desk.outbox.noted() == [(made, "never", None)]


async def test_one_that_was_deleted_is_passed_over(desk: Desk) -> None:
    made = desk.put(2)
    desk.outbox.claiming = asyncio.Event()
    receiver = Receiver(desk, subscribe())
    await settled()
    del desk.outbox.held[made[0]]
    desk.outbox.claiming.set()
    await settled()
    assert receiver.ids == made[1:]
    receiver.say_no_more()
    await ended(receiver)
    assert [each.delivery_id for each in desk.outbox.notes] == made[1:]


# ---- the end ----


async def test_who_says_no_more_has_its_acknowledgements_noted_and_gives_back_the_rest(desk: Desk) -> None:
    made = desk.put(2)
    desk.outbox.writing = asyncio.Event()
    receiver = Receiver(desk, subscribe())
    await settled()
    ring = desk.doorbell.next_ring()
    receiver.ack(made[0])
    receiver.say_no_more()
    await settled()
    assert not receiver.ended.done()
    desk.outbox.writing.set()
    await ended(receiver)
    assert desk.outbox.noted() == [(made[0], "", None), (made[1], STREAM_ENDED, 0.0)]
    assert ring.done()


async def test_what_a_receiver_had_that_is_gone_comes_to_the_next_at_once(desk: Desk) -> None:
    made = desk.put(2)
    first = Receiver(desk, subscribe())
    second = Receiver(desk, subscribe())
    await settled()
    assert (first.ids, second.ids) == (made, [])
    await first.gone()
    await settled()
    assert second.ids == made


async def test_the_end_of_a_stream_gives_nothing_up(desk: Desk) -> None:
    (made,) = desk.put(create_ns=desk.clock.now_ns() - 9 * DAY_NS, attempts=100)
    receiver = Receiver(desk, subscribe())
    await settled()
    await receiver.gone()
    await settled()
    assert desk.outbox.noted() == [(made, STREAM_ENDED, 0.0)]


async def test_what_is_taken_while_the_receiver_goes_is_put_back(desk: Desk) -> None:
    (made,) = desk.put()
    desk.outbox.claiming = asyncio.Event()
    receiver = Receiver(desk, subscribe())
    await settled()
    await receiver.gone()
    assert list(desk.outbox.held) == [made]
    desk.outbox.claiming.set()
    await settled()
    assert desk.outbox.noted() == [(made, "", 0.0)]
    assert desk.outbox.notes[0].attempt is None


async def test_a_server_that_drains_hands_out_nothing_more_and_hears_for_a_moment(desk: Desk) -> None:
    made = desk.put(3)
    receiver = Receiver(desk, subscribe(max_unacked=2))
    await settled()
    desk.pulling.drain()
    receiver.ack(made[0])
    await settled()
    assert not receiver.ended.done()
    await desk.clock.advance(pull_stream.LINGER_S)
    with pytest.raises(Draining):
        await ended(receiver)
    assert receiver.ids == made[:2]
    assert desk.outbox.noted() == [(made[0], "", None), (made[1], STREAM_ENDED, 0.0)]


async def test_a_server_that_drains_ends_at_once_where_nothing_is_on_the_way(desk: Desk) -> None:
    made = desk.put()
    receivers = [Receiver(desk, subscribe()), Receiver(desk, subscribe())]
    await settled()
    desk.pulling.drain()
    receivers[0].ack(*made)
    for receiver in (*receivers, Receiver(desk, subscribe())):
        with pytest.raises(Draining):
            await ended(receiver)
    assert desk.outbox.noted() == [(*made, "", None)]


async def test_an_old_stream_ends_once_nothing_is_on_the_way(desk: Desk) -> None:
    made = desk.put(3)
    receiver = Receiver(desk, subscribe(max_unacked=2, ack_timeout_s=3_600))
    await settled()
    await desk.clock.advance(MAX_AGE_S - 1.0)
    receiver.ack(made[0])
    await settled()
    await desk.clock.advance(1.0)
    await settled()
    receiver.ack(made[1])
    await settled()
    assert not receiver.ended.done()
    receiver.ack(made[2])
    with pytest.raises(StreamTooOld):
        await ended(receiver)
    assert desk.outbox.noted()[1:] == [(made[1], "it was not acknowledged within 3600 s", 2.0), (made[2], "", None)]


async def test_an_endpoint_that_is_disabled_meanwhile_ends_its_streams(desk: Desk) -> None:
    (made,) = desk.put()
    receiver = Receiver(desk, subscribe())
    await settled()
    desk.outbox.endpoint_now = v1.CallbackEndpoint(id=ENDPOINT_ID, disabled=True, disabled_reason="tired")
    await desk.clock.advance(1.0)
    with pytest.raises(EndpointDisabled, match="tired"):
        await ended(receiver)
    await settled()
    assert desk.outbox.noted() == [(made, STREAM_ENDED, 0.0)]


async def test_what_waits_for_an_endpoint_that_was_disabled_a_moment_ago_stays(desk: Desk) -> None:
    receiver = Receiver(desk, subscribe())
    await settled()
    desk.outbox.endpoint_now = v1.CallbackEndpoint(id=ENDPOINT_ID, disabled=True)
    (made,) = desk.put()
    with pytest.raises(EndpointDisabled):
        await ended(receiver)
    await settled()
    assert (receiver.ids, desk.outbox.noted()) == ([], [(made, "", 0.0)])
    assert desk.outbox.notes[0].attempt is None


async def test_an_endpoint_that_is_deleted_meanwhile_ends_its_streams(desk: Desk) -> None:
    receiver = Receiver(desk, subscribe())
    await settled()
    desk.outbox.endpoint_now = None
    await desk.clock.advance(1.0)
    with pytest.raises(EndpointNotFound):
        await ended(receiver)


async def test_a_store_that_fails_ends_the_stream_and_has_what_was_handed_out_put_back(desk: Desk) -> None:
    (made,) = desk.put()
    receiver = Receiver(desk, subscribe())
    await settled()

    async def failing(*_: object) -> None:
        raise StoreFailed("disk full")

    desk.outbox.claim_pulled = failing  # type: ignore[assignment, method-assign]
    desk.doorbell.ring()
    with pytest.raises(StoreFailed):
        await ended(receiver)
    await settled()
    assert desk.outbox.noted() == [(made, STREAM_ENDED, 0.0)]


# ---- frames ----


@pytest.mark.parametrize(
    ("endpoint", "error"),
    [
        (None, EndpointNotFound),
        (v1.CallbackEndpoint(id=ENDPOINT_ID, url="https://example.com"), EndpointHasUrl),
        (v1.CallbackEndpoint(id=ENDPOINT_ID, disabled=True), EndpointDisabled),
    ],
)
async def test_an_endpoint_that_nothing_is_pulled_from_is_refused(
    desk: Desk, endpoint: v1.CallbackEndpoint | None, error: type[ServiceError]
) -> None:
    desk.put()
    desk.outbox.endpoint_now = endpoint
    receiver = Receiver(desk, subscribe())
    with pytest.raises(error):
        await ended(receiver)
    assert desk.outbox.claims == 0


_ACK = v1.ReceiveDeliveriesRequest(ack_delivery_id="delivery-1")
_LONG_NACK = v1.ReceiveDeliveriesRequest(nack=v1.ReceiveDeliveriesRequest.Nack(error="x" * 501))
_BAD_ID = v1.ReceiveDeliveriesRequest(subscribe=v1.ReceiveDeliveriesRequest.Subscribe(endpoint_id="endpoint-1"))


@pytest.mark.parametrize(
    ("frames", "fields"),
    [
        ((), ["subscribe"]),
        ((_ACK,), ["subscribe"]),
        ((v1.ReceiveDeliveriesRequest(),), ["subscribe"]),
        ((_BAD_ID,), ["subscribe.endpoint_id"]),
        ((subscribe(max_unacked=1_001),), ["subscribe.max_unacked"]),
        ((subscribe(max_unacked=-1, ack_timeout_s=0),), ["subscribe.max_unacked", "subscribe.ack_timeout"]),
        ((subscribe(ack_timeout_s=3_601),), ["subscribe.ack_timeout"]),
        ((subscribe(), subscribe()), ["subscribe"]),
        ((subscribe(), v1.ReceiveDeliveriesRequest()), ["frame"]),
        ((subscribe(), _LONG_NACK), ["nack.error"]),
    ],
)
async def test_a_frame_that_breaks_a_rule_ends_the_stream(
    desk: Desk, frames: tuple[v1.ReceiveDeliveriesRequest, ...], fields: list[str]
) -> None:
    receiver = Receiver(desk, *frames)
    receiver.say_no_more()
    with pytest.raises(InvalidRequest) as raised:
        await ended(receiver)
    assert [violation.field for violation in raised.value.violations] == fields


async def test_what_was_acknowledged_before_a_bad_frame_is_noted_and_the_rest_put_back(desk: Desk) -> None:
    made = desk.put(2)
    receiver = Receiver(desk, subscribe())
    await settled()
    receiver.ack(made[0])
    receiver.said.put_nowait(v1.ReceiveDeliveriesRequest())
    with pytest.raises(InvalidRequest):
        await ended(receiver)
    assert desk.outbox.noted() == [(made[0], "", None), (made[1], STREAM_ENDED, 0.0)]


async def test_who_does_not_subscribe_is_not_waited_for(desk: Desk) -> None:
    receiver = Receiver(desk)
    await settled()
    await desk.clock.advance(SUBSCRIBE_S)
    with pytest.raises(InvalidRequest, match="within 5 s"):
        await ended(receiver)
