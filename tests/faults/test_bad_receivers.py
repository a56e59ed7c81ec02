"""Five bad receivers among twenty: the others do not notice, and when the bad ones are back, nothing is lost.

Each receiver is told of an agent's runs at the URL that the runs name, and at an endpoint, there of their starts as
well. With SENDOFF_TEST_CALLBACKS=1000 it is a thousand runs, and as many before them while none is bad, to compare.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import cycle
from statistics import quantiles

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server.callbacks import breaker, dispatcher, schedule
from sendoff_server.callbacks.breaker import PER_RECEIVER
from sendoff_server.callbacks.courier import Courier, Outcome
from sendoff_server.callbacks.port import Payload
from sendoff_server.settings import Settings
from sendoff_server.store.questions import Delivery
from tests.faults.caller import PATIENCE_S, Caller, calling
from tests.fixtures.receiver import Act, Delivered, Receiver, receiving
from tests.fixtures.server import Serve

RUNS = int(os.environ.get("SENDOFF_TEST_CALLBACKS", "60"))
LONGEST_S = PATIENCE_S + RUNS / 5
RECEIVERS = 20
BAD: Sequence[Sequence[Act]] = (["hang"], ["drip"], ["reset", 500, "slow body", 307], [410], ["refuse"])
"""What each bad one does, again and again. Who refuses has died, and comes back at the same port."""
GOOD = RECEIVERS - len(BAD)
PER_RUN = 3
"""Deliveries: one to its own URL, two to the endpoint."""
STARTED, FINISHED = "run.started", "run.finished"
DEAD, PENDING = v1.DELIVERY_STATUS_DEAD_LETTERED, v1.DELIVERY_STATUS_PENDING


@dataclass
class Post:
    """Where an agent's runs are told."""

    agent: str
    url: str
    endpoint: str
    secret: str
    """Of the endpoint."""


@dataclass
class UnderWay:
    """Attempts at the same time, as the server makes them: one that it has left may still look open to its receiver."""

    now: Counter[str] = field(default_factory=Counter)
    """By receiver."""
    most: int = 0
    most_at_one: int = 0
    ids: set[str] = field(default_factory=set)
    twice: set[str] = field(default_factory=set)
    """Deliveries that were under way twice at once."""

    def watch(self, courier: Courier, patch: pytest.MonkeyPatch) -> None:
        attempt = courier.attempt

        async def watched(delivery: Delivery, payload: Payload) -> Outcome:
            self._begin(delivery)
            try:
                return await attempt(delivery, payload)
            finally:
                self.now[delivery.receiver] -= 1
                self.ids.discard(delivery.id)

        patch.setattr(courier, "attempt", watched)

    def _begin(self, delivery: Delivery) -> None:
        if delivery.id in self.ids:
            self.twice.add(delivery.id)
        self.ids.add(delivery.id)
        self.now[delivery.receiver] += 1
        self.most = max(self.most, self.now.total())
        self.most_at_one = max(self.most_at_one, self.now[delivery.receiver])


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are short."""
    for module in (schedule, breaker):
        monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.2)
        monkeypatch.setattr(module, "LONGEST_PAUSE_S", 1.0)
    monkeypatch.setattr(dispatcher, "POLL_S", 0.1)


class Town:
    """The receivers, the bad ones last, and who sends."""

    def __init__(self, caller: Caller, receivers: list[Receiver]) -> None:
        self.caller = caller
        self.receivers = receivers
        self.posts: list[Post] = []

    async def furnish(self) -> None:
        for receiver in self.receivers:
            agent = await self.caller.agent("scripted/echo")
            url = receiver.url("/endpoint")
            endpoint, secret = await self.caller.endpoint(url, agent_id=agent, event_types=[STARTED, FINISHED])
            self.posts.append(Post(agent, receiver.url(), endpoint, secret))
        # What sends is opened for the first attempt; that time is nobody's.
        await self.caller.callbacks.TestEndpoint(v1.TestEndpointRequest(endpoint_id=self.posts[0].endpoint))
        self.receivers[0].got.clear()

    async def send(self) -> Sequence[str]:
        """RUNS runs, one receiver's after the other's."""

        at_once = asyncio.Semaphore(50)

        async def one(number: int) -> str:
            post = self.posts[number % RECEIVERS]
            async with at_once:
                return (await self.caller.send(post.agent, f"message {number}", callback_url=post.url)).id

        return await asyncio.gather(*map(one, range(RUNS)))

    async def good_are_told(self, times: int) -> float:
        """Wait until the good ones were told of so many times RUNS; the time then."""
        async with asyncio.timeout(LONGEST_S):
            for number, receiver in enumerate(self.receivers[:GOOD]):
                await receiver.requests(PER_RUN * times * len(range(number, RUNS, RECEIVERS)), longest_s=LONGEST_S)
        return time.monotonic()

    async def nothing_waits(self) -> float:
        """Wait until no delivery is pending; the time then."""
        ask = v1.ListDeliveriesRequest(statuses=[PENDING], page_size=1)
        async with asyncio.timeout(LONGEST_S):
            while (await self.caller.callbacks.ListDeliveries(ask, timeout=PATIENCE_S)).deliveries:  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # nobody is told when nothing waits
        return time.monotonic()

    def break_down(self) -> None:
        for receiver, acts in zip(self.receivers[GOOD:], BAD, strict=True):
            following = cycle(acts)
            receiver.choose = lambda _, following=following: next(following)

    def recover(self) -> None:
        for receiver in self.receivers[GOOD:]:
            receiver.choose = None
            receiver.release.set()

    async def redeliver(self) -> None:
        """What was given up because of a 410."""
        dead = await self.caller.deliveries(statuses=[DEAD], page_size=1_000)
        for endpoint in {each.endpoint_id for each in dead if each.HasField("endpoint_id")}:
            enabled = v1.UpdateEndpointRequest(
                endpoint_id=endpoint, endpoint=v1.CallbackEndpoint(), update_mask=FieldMask(paths=["disabled"])
            )
            await self.caller.callbacks.UpdateEndpoint(enabled)
            await self.caller.callbacks.Redeliver(v1.RedeliverRequest(endpoint_id=endpoint))
        own = [each.id for each in dead if not each.HasField("endpoint_id")]
        await self.caller.callbacks.Redeliver(v1.RedeliverRequest(delivery_ids=own))

    async def waits_ms(self, runs: Sequence[str]) -> Sequence[float]:
        """How long each delivery to the good ones waited for its first attempt; of each hundredth."""
        good = [run for number, run in enumerate(runs) if number % RECEIVERS < GOOD]
        found = [each for run in good for each in await self.caller.deliveries(run_id=run)]
        return quantiles([_ms(each.attempts[0].start_time) - _ms(each.create_time) for each in found], n=100)


def _ms(moment: Timestamp) -> float:
    return moment.ToNanoseconds() / 1e6


def told_of(receiver: Receiver, run_id: str) -> tuple[list[Delivered], list[Delivered]]:
    """What was told of a run to its own URL, and to the endpoint."""
    own = [got for got in receiver.got if got.json.get("run_id") == run_id]
    return own, [got for got in receiver.got if got.json.get("data", {}).get("run_id") == run_id]


def check(receiver: Receiver, post: Post, runs: Sequence[str], secret: str, *, good: bool) -> None:
    """All is there and verifies, and what nobody refused came once, in order."""
    for got in receiver.got:
        got.verified(post.secret if "/endpoint" in got.line else secret)
    for run in runs:
        own, others = told_of(receiver, run)
        types = [got.json["type"] for got in others]
        if good:
            assert (len(own), types) == (1, [STARTED, FINISHED])
            assert receiver.twice_at_once == set()
        else:
            assert (bool(own), set(types)) == (True, {STARTED, FINISHED})


async def test_bad_receivers_hold_up_nobody_and_lose_nothing(
    serve: Serve, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way = UnderWay()
    async with AsyncExitStack() as dying, AsyncExitStack() as stack:
        server = await stack.enter_async_context(serve(callback_timeout_s=5.0))
        under_way.watch(server.parts.callbacks._courier, monkeypatch)
        caller = await stack.enter_async_context(calling(server.grpc.address))
        receivers = [await stack.enter_async_context(receiving()) for _ in range(RECEIVERS - 1)]
        town = Town(caller, [*receivers, await dying.enter_async_context(receiving())])
        await town.furnish()

        begun = time.monotonic()
        before = await town.send()
        well_s = await town.good_are_told(1) - begun
        await town.nothing_waits()

        town.break_down()
        await dying.aclose()
        begun = time.monotonic()
        runs = await town.send()
        bad_s = await town.good_are_told(2) - begun
        await asyncio.gather(*map(caller.ended, runs))

        last = town.receivers[-1]
        begun = time.monotonic()
        town.receivers[-1] = await stack.enter_async_context(receiving(port=last.port))
        town.receivers[-1].got = last.got
        town.recover()
        await town.nothing_waits()
        await town.redeliver()
        back_s = await town.nothing_waits() - begun
        deliveries = await caller.deliveries(page_size=1_000)
        waited_ms = [await town.waits_ms(each) for each in (before, runs)]

    requests = sum(len(receiver.got) for receiver in town.receivers[GOOD:])
    print(f"{RUNS} runs, {PER_RUN * RUNS} deliveries, {len(BAD)} of {RECEIVERS} receivers bad:")
    print(f"the good ones were told in {bad_s:.2f} s, in {well_s:.2f} s while none was bad")
    for waited, when in zip(waited_ms, ("while none was bad", "beside bad ones"), strict=True):
        print(f"deliveries to them waited {waited[49]:.0f} ms (p50), {waited[98]:.0f} ms (p99) {when}")
    print(f"all was delivered {back_s:.2f} s after the bad ones were back, with {requests} requests to them in all")
    print(f"at most {under_way.most} attempts were under way, {len(under_way.twice)} deliveries twice at once")
    assert under_way.twice == set()
    assert under_way.most_at_one <= PER_RECEIVER
    assert {each.status for each in deliveries} == {v1.DELIVERY_STATUS_DELIVERED}
    assert len(deliveries) == 2 * PER_RUN * RUNS
    secret = settings.callback_secret_path.read_text().strip()
    for number, (receiver, post) in enumerate(zip(town.receivers, town.posts, strict=True)):
        of_this = [*before[number::RECEIVERS], *runs[number::RECEIVERS]]
        check(receiver, post, of_this, secret, good=number < GOOD)
