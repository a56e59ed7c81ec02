"""Deliveries over gRPC: found, told with their attempts, and tried again; and no secret in what is read or logged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from structlog.testing import capture_logs

from sendoff import v1
from sendoff_server import ids
from sendoff_server.app import Server
from tests.faults.caller import refused
from tests.fixtures.receiver import Receiver
from tests.fixtures.server import Serve
from tests.service.callback_desk import DEAD, DELIVERED, PENDING, Desk, at_desk

UNKNOWN = ids.derive("delivery", "nobody's")


@pytest.fixture
async def desk(server: Server) -> AsyncIterator[Desk]:
    async with at_desk(server) as opened:
        yield opened


@pytest.fixture
async def agent(desk: Desk) -> str:
    return await desk.caller.agent("scripted/echo")


# ---- read ----


async def test_a_delivery_tells_what_it_is_and_how_it_went(desk: Desk, agent: str, receiver: Receiver) -> None:
    made = (await desk.create(url=receiver.url())).endpoint
    run = await desk.run(agent)
    (told,) = await desk.settled()
    assert ids.pattern("delivery").fullmatch(told.id)
    assert (told.run_id, told.sequence, told.event_type) == (run.id, run.last_sequence, "run.finished")
    assert (told.endpoint_id, told.url, told.status) == (made.id, made.url, DELIVERED)
    assert (told.attempt_count, told.HasField("next_attempt_time")) == (1, False)
    (attempt,) = told.attempts
    assert (attempt.status_code, attempt.error) == (200, "")
    assert attempt.start_time.ToNanoseconds() >= told.create_time.ToNanoseconds() > 0
    assert receiver.got[0].id == told.id
    assert await desk.delivery(told.id) == told


async def test_a_run_s_own_callback_is_a_delivery_without_an_endpoint(
    desk: Desk, agent: str, receiver: Receiver
) -> None:
    run = await desk.run(agent, callback_url=receiver.url())
    (told,) = await desk.settled(run_id=run.id)
    assert (told.HasField("endpoint_id"), told.url, told.status) == (False, receiver.url(), DELIVERED)


async def test_deliveries_are_listed_newest_first_in_pages_and_narrowed_down(
    desk: Desk, agent: str, receiver: Receiver
) -> None:
    good = (await desk.create(url=receiver.url())).endpoint.id
    off = (await desk.create(url=receiver.url(), disabled=True)).endpoint.id
    runs = [(await desk.run(agent)).id for _ in range(3)]
    found = [each.id for each in await desk.settled(6)]
    assert [[each.id for each in page] for page in await desk.deliveries(4)] == [found[:4], found[4:]]

    async def listed(**filters: Any) -> list[tuple[str, str]]:
        (page,) = await desk.deliveries(**filters)
        return [(each.run_id, each.endpoint_id) for each in page]

    assert await listed(endpoint_id=off) == [(run, off) for run in reversed(runs)]
    assert await listed(statuses=[DEAD]) == await listed(endpoint_id=off)
    assert await listed(statuses=[PENDING, DELIVERED]) == [(run, good) for run in reversed(runs)]
    assert sorted(await listed(run_id=runs[1])) == sorted([(runs[1], good), (runs[1], off)])
    assert await listed(run_id=runs[1], endpoint_id=off, statuses=[DELIVERED]) == []
    assert await listed(run_id=ids.derive("run", "nobody's")) == []


async def test_a_page_token_of_other_deliveries_is_refused(desk: Desk, agent: str, receiver: Receiver) -> None:
    await desk.create(url=receiver.url())
    for _ in range(2):
        await desk.run(agent)
    await desk.settled(2)
    token = (await desk.stub.ListDeliveries(v1.ListDeliveriesRequest(page_size=1))).next_page_token
    ask = v1.ListDeliveriesRequest(page_size=1, page_token=token, statuses=[DELIVERED])
    told = await refused(desk.stub.ListDeliveries(ask))
    assert (told.reason, told.fields) == ("INVALID_REQUEST", ["page_token"])


# ---- again ----


async def test_what_is_redelivered_comes_again_under_its_id(desk: Desk, agent: str, receiver: Receiver) -> None:
    made = await desk.create(url=receiver.url())
    await desk.run(agent)
    (told,) = await desk.settled()
    assert await desk.redeliver(told.id, told.id) == 1
    first, again = await receiver.requests(2)
    assert (first.id, again.id) == (told.id, told.id)
    assert again.verified(made.secret) == first.json
    assert again.attempt == 2
    (after,) = await desk.settled()
    assert (after.status, after.attempt_count, len(after.attempts)) == (DELIVERED, 2, 2)
    assert after.create_time == told.create_time


async def test_a_dead_letter_is_delivered_when_its_receiver_is_well_again(serve: Serve, receiver: Receiver) -> None:
    receiver.acts = [500]
    async with serve(callback_give_up_s=0) as server, at_desk(server) as desk:
        await desk.create(url=receiver.url())
        await desk.run(await desk.caller.agent("scripted/echo"))
        (dead,) = await desk.settled()
        assert (dead.status, dead.attempts[0].status_code) == (DEAD, 500)
        assert await desk.redeliver(dead.id) == 1
        (told,) = await desk.settled()
        assert (told.id, told.status, told.attempt_count) == (dead.id, DELIVERED, 2)


async def test_what_is_still_on_its_way_is_left_as_it_is(desk: Desk, agent: str, receiver: Receiver) -> None:
    receiver.acts = ["hang"]
    await desk.create(url=receiver.url())
    await desk.run(agent)
    await receiver.requests(1)
    ((told,),) = await desk.deliveries()
    assert told.status == PENDING
    assert await desk.redeliver(told.id) == 0
    receiver.release.set()
    (after,) = await desk.settled()
    assert (after.status, after.attempt_count, len(receiver.got)) == (DELIVERED, 1, 1)


async def test_one_delivery_that_is_not_there_keeps_all_from_being_redelivered(
    desk: Desk, agent: str, receiver: Receiver
) -> None:
    await desk.create(url=receiver.url())
    await desk.run(agent)
    (told,) = await desk.settled()
    refusal = await refused(desk.redeliver(told.id, UNKNOWN))
    assert (refusal.reason, refusal.metadata["delivery_id"]) == ("DELIVERY_NOT_FOUND", UNKNOWN)
    assert (await refused(desk.delivery(UNKNOWN))).metadata["delivery_id"] == UNKNOWN
    assert await desk.delivery(told.id) == told


async def test_nothing_is_redelivered_to_an_endpoint_that_is_disabled(
    desk: Desk, agent: str, receiver: Receiver
) -> None:
    on = (await desk.create(url=receiver.url())).endpoint.id
    off = (await desk.create(url=receiver.url(), disabled=True)).endpoint.id
    await desk.run(agent)
    found = await desk.settled(2)
    for call in (desk.redeliver(*(each.id for each in found)), desk.redeliver(endpoint_id=off)):
        refusal = await refused(call)
        assert (refusal.reason, refusal.metadata["endpoint_id"]) == ("ENDPOINT_DISABLED", off)
    assert sorted(each.endpoint_id for each in found) == sorted([on, off])
    assert await desk.settled(2) == found


async def test_what_a_disabled_endpoint_has_missed_arrives_once_it_is_enabled_and_asked_for(
    desk: Desk, agent: str, receiver: Receiver
) -> None:
    made = (await desk.create(url=receiver.url(), disabled=True)).endpoint
    runs = [(await desk.run(agent)).id for _ in range(3)]
    missed = await desk.settled(3)
    assert [each.status for each in missed] == [DEAD] * 3
    assert receiver.got == []

    await desk.update(made.id, "disabled")
    assert await desk.redeliver(endpoint_id=made.id) == 3
    told = await desk.settled(3)
    assert [each.status for each in told] == [DELIVERED] * 3
    assert sorted(each.json["data"]["run_id"] for each in receiver.got) == sorted(runs)
    assert await desk.redeliver(endpoint_id=made.id) == 0


async def test_only_what_was_missed_since_then_is_redelivered(desk: Desk, agent: str, receiver: Receiver) -> None:
    made = (await desk.create(url=receiver.url(), disabled=True)).endpoint
    for _ in range(3):
        await desk.run(agent)
    newest, newer, oldest = await desk.settled(3)
    await desk.update(made.id, "disabled")
    far = Timestamp(seconds=253_402_300_799)
    assert await desk.redeliver(endpoint_id=made.id, since=far) == 0
    assert await desk.redeliver(endpoint_id=made.id, since=newer.create_time) == 2
    statuses = {each.id: each.status for each in await desk.settled(3)}
    assert statuses == {newest.id: DELIVERED, newer.id: DELIVERED, oldest.id: DEAD}
    before = Timestamp(seconds=-62_135_596_800)
    assert await desk.redeliver(endpoint_id=made.id, since=before) == 1


async def test_a_thousand_deliveries_are_redelivered_in_one_call(desk: Desk, agent: str, receiver: Receiver) -> None:
    await desk.create(url=receiver.url())
    await desk.run(agent)
    (told,) = await desk.settled()
    many = [told.id] * 1_001
    assert (await refused(desk.redeliver(*many))).fields == ["delivery_ids"]
    assert await desk.redeliver(*many[:1_000]) == 1
    await receiver.requests(2)


# ---- secrets ----


async def test_secrets_are_in_no_log_and_in_no_answer_but_of_the_calls_that_make_them(
    serve: Serve, receiver: Receiver
) -> None:
    receiver.acts = [500, "reset", 410]
    key = "k3y-in-the-url"
    with capture_logs() as lines:
        async with serve(log_level="debug", callback_give_up_s=0) as server, at_desk(server) as desk:
            made = await desk.create("mine", url=receiver.url(f"/hook?key={key}"))
            secrets = [made.secret, await desk.rotate(made.endpoint.id)]
            agent = await desk.caller.agent("scripted/echo")
            await desk.test(made.endpoint.id)
            for count in (1, 2):
                await desk.run(agent)
                await desk.settled(count)
            found = await desk.settled(2)
            enabled = await desk.update(made.endpoint.id, "disabled")
            await refused(desk.create("mine", url=receiver.url("/other")))
            await refused(desk.update(made.endpoint.id, url=f"http://10.0.0.1/?key={key}"))
            read = [enabled, *found, await desk.get(made.endpoint.id), await desk.caller.get(found[0].run_id)]
            page = await desk.stub.ListEndpoints(v1.ListEndpointsRequest())
    told = [str(each) for each in (*read, page)]
    logged = [repr(line) for line in lines]
    assert any("callback not delivered" in line for line in logged)
    for secret in secrets:
        assert not [text for text in (*told, *logged) if secret in text or secret.removeprefix("whsec_") in text]
    assert not [line for line in logged if key in line]
