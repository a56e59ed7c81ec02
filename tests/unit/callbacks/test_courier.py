"""One attempt: what is sent, by whom it is signed, and what is noted of it."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from sendoff import v1
from sendoff_server import ids
from sendoff_server.callbacks.courier import DISABLED, GONE, UNSIGNED, Courier, Outcome
from sendoff_server.callbacks.secrets import EndpointSecrets
from sendoff_server.callbacks.signing import Signer
from sendoff_server.clock import SECOND_NS, timestamp
from sendoff_server.encryption.sealer import Sealer
from sendoff_server.outgoing.port import Answer, NotAnswered, Sender
from sendoff_server.store.items import NoteAttempt
from sendoff_server.store.questions import RUN_FINISHED, Delivery, Endpoint, Secret
from tests.fixtures.clock import ManualClock
from tests.unit.callbacks.receivers import OK, Receivers, Request

GIVE_UP_S = 72 * 3_600.0


def secret(byte: bytes) -> str:
    return "whsec_" + base64.b64encode(byte * 32).decode()


SERVER, NEW, OLD = secret(b"s"), secret(b"n"), secret(b"o")


class Desk:
    """A courier, and receivers in the test's hand."""

    def __init__(self) -> None:
        self.clock = ManualClock(time.time_ns())  # the standard's library verifies by the real time
        self.receivers = Receivers()
        self.courier = Courier(
            self._open,
            Signer([SERVER]),
            self.clock,
            give_up_s=GIVE_UP_S,
            chance=lambda: 0.5,
            secrets=EndpointSecrets(Sealer()),
        )

    async def _open(self) -> Sender:
        return self.receivers

    def delivery(self, **fields: Any) -> Delivery:
        whole = Delivery(
            id=ids.new("delivery"),
            tenant="t",
            kind=RUN_FINISHED,
            sequence=7,
            run=v1.Run(id=ids.new("run"), callback=v1.CallbackSummary(url=OK)),
            url=OK,
            receiver="good.example:80",
            endpoint=None,
            signed_by=None,
            create_ns=self.clock.now_ns(),
            attempts=0,
        )
        return replace(whole, **fields)

    def of_endpoint(self, endpoint: Endpoint, **fields: Any) -> Delivery:
        return self.delivery(endpoint=endpoint, signed_by=endpoint, **fields)

    async def attempt(self, delivery: Delivery, *answers: Answer | Exception) -> Outcome:
        self.receivers.answers[delivery.url] = list(answers)
        return await self.courier.attempt(delivery, self.payload)

    async def payload(self, delivery: Delivery) -> str:
        return f'{{"run_id":"{delivery.run.id}"}}'

    def signers(self, *secrets: str) -> Sequence[str]:
        """Which of these have signed the last request."""
        got = self.receivers.got[-1]
        return [each for each in secrets if _signs(each, got)]


def _signs(each: str, got: Request) -> bool:
    try:
        Webhook(each).verify(got.body, dict(got.headers))
    except WebhookVerificationError:
        return False
    return True


def endpoint(*secrets: Secret, **fields: Any) -> Endpoint:
    told = v1.CallbackEndpoint(**{"id": ids.new("endpoint"), "url": OK} | fields)
    return Endpoint(told, secrets or [Secret(NEW)])


@pytest.fixture
def desk() -> Desk:
    return Desk()


# ---- what is noted ----


async def test_a_receipt_is_noted_with_its_time_and_how_long_it_took(desk: Desk) -> None:
    desk.receivers.hanging.add(OK)
    begun_ns = desk.clock.now_ns()
    delivery = desk.delivery()
    under_way = asyncio.create_task(desk.attempt(delivery, Answer(204, excerpt="thanks")))
    await desk.receivers.requests(1)
    await desk.clock.advance(1.5)
    desk.receivers.release.set()
    attempt = v1.DeliveryAttempt(start_time=timestamp(begun_ns), duration_ns=1_500_000_000, status_code=204)
    note = NoteAttempt(delivery_id=delivery.id, attempt=attempt, since_ns=delivery.create_ns)
    assert await under_way == Outcome(note, receiver_is_well=True)


async def test_an_answer_that_is_no_receipt_is_noted_with_its_beginning_and_the_next_time(desk: Desk) -> None:
    outcome = await desk.attempt(desk.delivery(attempts=1), Answer(500, excerpt="<h1>Oh dear"))
    attempt = outcome.note.attempt
    assert attempt is not None
    assert (attempt.status_code, attempt.error) == (500, "the receiver answered 500")
    assert attempt.response_excerpt == "<h1>Oh dear"
    assert outcome.note.next_attempt_ns == desk.clock.now_ns() + 6 * SECOND_NS
    assert outcome.receiver_is_well is False


async def test_silence_is_noted_with_its_reason_and_no_status(desk: Desk) -> None:
    outcome = await desk.attempt(desk.delivery(), NotAnswered("no answer in time"))
    attempt = outcome.note.attempt
    assert attempt is not None
    assert (attempt.HasField("status_code"), attempt.error) == (False, "no answer in time")
    assert outcome.note.next_attempt_ns is not None
    assert outcome.receiver_is_well is False


async def test_a_fault_of_the_server_is_noted_and_not_held_against_the_receiver(desk: Desk) -> None:
    outcome = await desk.attempt(desk.delivery(), RuntimeError("in the library"))
    assert outcome.note.attempt is not None
    assert outcome.note.attempt.error == "the server could not send it"
    assert outcome.note.next_attempt_ns is not None
    assert outcome.receiver_is_well is None


async def test_it_is_given_up_72_hours_after_it_was_written(desk: Desk) -> None:
    now_ns = desk.clock.now_ns()
    last_ns = now_ns + 2 * SECOND_NS - int(GIVE_UP_S * SECOND_NS)
    in_time = await desk.attempt(desk.delivery(create_ns=last_ns), Answer(500))
    too_late = await desk.attempt(desk.delivery(create_ns=last_ns - 1), Answer(500))
    assert in_time.note.next_attempt_ns == now_ns + 2 * SECOND_NS
    assert too_late.note.next_attempt_ns is None


async def test_one_that_was_put_there_again_has_its_time_anew_and_its_attempts_go_on_counting(desk: Desk) -> None:
    outcome = await desk.attempt(desk.delivery(attempts=25), Answer(500))
    assert desk.receivers.got[0].headers["sendoff-attempt"] == "26"
    assert outcome.note.next_attempt_ns is not None


async def test_a_receiver_that_is_gone_ends_a_run_s_own_callback(desk: Desk) -> None:
    outcome = await desk.attempt(desk.delivery(signed_by=endpoint()), Answer(410))
    assert (outcome.note.next_attempt_ns, outcome.note.disables) == (None, "")
    assert outcome.receiver_is_well is None


async def test_a_receiver_that_is_gone_disables_its_endpoint(desk: Desk) -> None:
    outcome = await desk.attempt(desk.of_endpoint(endpoint()), Answer(410))
    assert (outcome.note.next_attempt_ns, outcome.note.disables) == (None, GONE)
    assert outcome.note.url == endpoint().told.url


# ---- what is not sent ----


async def test_to_an_endpoint_that_is_disabled_nothing_is_sent(desk: Desk) -> None:
    delivery = desk.of_endpoint(endpoint(disabled=True))
    outcome = await desk.attempt(delivery)
    assert outcome == Outcome(NoteAttempt(delivery_id=delivery.id, attempt=None, error=DISABLED), None)
    assert desk.receivers.got == []


async def test_what_is_to_be_signed_by_what_is_deleted_is_not_sent(desk: Desk) -> None:
    callback = v1.CallbackSummary(url=OK, secret_id=ids.new("endpoint"))
    delivery = desk.delivery(run=v1.Run(callback=callback))
    outcome = await desk.attempt(delivery)
    assert outcome == Outcome(NoteAttempt(delivery_id=delivery.id, attempt=None, error=UNSIGNED), None)
    assert desk.receivers.got == []


async def test_a_run_s_callback_may_be_signed_by_an_endpoint_that_is_disabled(desk: Desk) -> None:
    signing = endpoint(disabled=True)
    callback = v1.CallbackSummary(url=OK, secret_id=signing.told.id)
    outcome = await desk.attempt(desk.delivery(run=v1.Run(callback=callback), signed_by=signing))
    assert outcome.receiver_is_well
    assert desk.signers(SERVER, NEW) == [NEW]


async def test_a_deleted_endpoint_of_the_run_s_own_callback_does_not_matter_to_another_endpoint(desk: Desk) -> None:
    run = v1.Run(callback=v1.CallbackSummary(url="http://other.example", secret_id=ids.new("endpoint")))
    assert (await desk.attempt(desk.of_endpoint(endpoint(), run=run))).receiver_is_well


# ---- who signs ----


async def test_the_server_signs_where_no_endpoint_does(desk: Desk) -> None:
    await desk.attempt(desk.delivery())
    assert desk.signers(SERVER, NEW) == [SERVER]


async def test_an_endpoint_s_own_secrets_sign_and_the_server_s_does_not(desk: Desk) -> None:
    await desk.attempt(desk.of_endpoint(endpoint()))
    assert desk.signers(SERVER, NEW) == [NEW]


async def test_during_a_rotation_both_secrets_sign_and_after_it_only_the_new_one(desk: Desk) -> None:
    rotated = endpoint(Secret(NEW), Secret(OLD, until_ns=desk.clock.now_ns() + 60 * SECOND_NS))
    await desk.attempt(desk.of_endpoint(rotated))
    assert desk.signers(NEW, OLD) == [NEW, OLD]
    await desk.clock.advance(60)
    await desk.attempt(desk.of_endpoint(rotated))
    assert desk.signers(NEW, OLD) == [NEW]


# ---- trying an endpoint ----


async def test_an_endpoint_is_tried_with_what_was_given_under_a_new_id(desk: Desk) -> None:
    tried = [
        await desk.courier.try_endpoint("t", endpoint(disabled=True), '{"type":"endpoint.test"}') for _ in range(2)
    ]
    assert tried == [v1.DeliveryAttempt(start_time=timestamp(desk.clock.now_ns()), status_code=200)] * 2
    assert [got.body for got in desk.receivers.got] == ['{"type":"endpoint.test"}'] * 2
    assert len({got.headers["webhook-id"] for got in desk.receivers.got}) == 2
    assert desk.signers(SERVER, NEW) == [NEW]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(500, excerpt="no"), v1.DeliveryAttempt(status_code=500, error="the receiver answered 500")),
        (Answer(410, excerpt="no"), v1.DeliveryAttempt(status_code=410, error="the receiver answered 410")),
    ],
)
async def test_what_an_endpoint_says_when_it_is_tried_is_told(
    desk: Desk, answer: Answer, told: v1.DeliveryAttempt
) -> None:
    desk.receivers.answers[OK] = [answer]
    attempt = await desk.courier.try_endpoint("t", endpoint(), "{}")
    told.start_time.CopyFrom(timestamp(desk.clock.now_ns()))
    told.response_excerpt = "no"
    assert attempt == told


async def test_an_endpoint_that_does_not_answer_when_it_is_tried_is_told_so(desk: Desk) -> None:
    desk.receivers.answers[OK] = [NotAnswered("no connection in time")]
    assert (await desk.courier.try_endpoint("t", endpoint(), "{}")).error == "no connection in time"
