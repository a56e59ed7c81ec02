"""The outbox against a model of it: runs start and end, two replicas take and note, endpoints come, go and are
disabled, replicas die, in any order."""

from __future__ import annotations

import random
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest

from sendoff import v1
from sendoff_server.store.items import AttemptNoted, Claim, NoteAttempt
from sendoff_server.store.port import DEFAULT_TENANT, Store
from sendoff_server.store.questions import EVENT_TYPES, RUN_FINISHED, RUN_STARTED, Delivery, Endpoint, RunDeletion
from tests.contract.databases import Database
from tests.contract.making import accept, after, claim_of, finish, flush_one, new_lane, next_of, start
from tests.contract.outbox_making import attempt, change, due, listed, pulled, registered

PENDING, DELIVERED = v1.DELIVERY_STATUS_PENDING, v1.DELIVERY_STATUS_DELIVERED
DEAD = v1.DELIVERY_STATUS_DEAD_LETTERED
OWN = ""
STEPS = 160

Place = tuple[str, str, str]
"""Run, endpoint (OWN for its own callback), and what it tells."""


@dataclass
class Expected:
    status: v1.DeliveryStatus.ValueType
    attempts: int = 0
    holder: int | None = None
    """Of two replicas."""


@dataclass
class Model:
    chance: random.Random
    replicas: list[Store]
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    open: dict[str, Claim] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    outbox: dict[Place, Expected] = field(default_factory=dict)
    ids: dict[Place, str] = field(default_factory=dict)
    held: dict[str, tuple[Place, Delivery]] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return self.chance.choice(self.replicas)

    # -- what happens --

    async def begin(self) -> None:
        own = v1.Run(callback=v1.CallbackSummary(url="https://own.example/", event_types=EVENT_TYPES))
        claim = await claim_of(
            self.replicas[0], accept(await new_lane(self.store), run=self.chance.choice([own, None]))
        )
        self.open[claim.run.id] = claim

    async def start(self) -> None:
        fresh = [each for each in self.open.values() if each.run.status == v1.RUN_STATUS_CREATED]
        for claim in fresh[:1]:
            await flush_one(self.replicas[0], started := start(claim))
            self.open[claim.run.id] = after(claim, started)
            self._tell(claim.run, RUN_STARTED)

    async def end(self) -> None:
        if self.open:
            claim = self.open.pop(self.chance.choice(list(self.open)))
            await next_of(self.replicas[0], finish(claim))
            self.ended.add(claim.run.id)
            self._tell(claim.run, RUN_FINISHED)

    def _tell(self, run: v1.Run, kind: str) -> None:
        for endpoint in self.endpoints.values():
            if kind in endpoint.told.event_types:
                status = DEAD if endpoint.told.disabled else PENDING
                self.outbox[run.id, endpoint.told.id, kind] = Expected(status)
        if run.callback.HasField("url"):
            self.outbox[run.id, OWN, kind] = Expected(PENDING)

    async def register(self) -> None:
        url = self.chance.choice([None, "https://a.example/", "https://b.example/"])
        kinds = self.chance.choice([(RUN_STARTED,), (RUN_FINISHED,), EVENT_TYPES])
        made = await registered(self.store, url, event_types=kinds)
        self.endpoints[made.told.id] = made

    async def switch(self) -> None:
        for endpoint_id, of in self.chance.sample(list(self.endpoints.items()), min(1, len(self.endpoints))):
            self.endpoints[endpoint_id] = await change(self.store, of, disabled=not of.told.disabled)

    async def forget_endpoint(self) -> None:
        if len(self.endpoints) > 2:
            endpoint_id = self.chance.choice(list(self.endpoints))
            assert await self.store.delete_endpoint(DEFAULT_TENANT, endpoint_id)
            del self.endpoints[endpoint_id]
            self._drop(lambda place: place[1] == endpoint_id)

    async def forget_run(self) -> None:
        if len(self.ended) > 3:
            run_id = self.chance.choice(sorted(self.ended))
            assert await self.store.delete_run(DEFAULT_TENANT, run_id) is RunDeletion.DELETED
            self.ended.discard(run_id)
            self._drop(lambda place: place[0] == run_id)

    def _drop(self, gone: object) -> None:
        assert callable(gone)
        self.outbox = {place: each for place, each in self.outbox.items() if not gone(place)}

    async def take(self) -> None:
        number = self.chance.randrange(2)
        expected = {place for place in self.outbox if self._is_due(place) and not self._is_pulled(place)}
        found = await due(self.replicas[number], limit=1_000, per_receiver=1_000)
        assert {self._hold(each, number) for each in found} == expected
        assert len(found) == len(expected)

    async def pull(self) -> None:
        number = self.chance.randrange(2)
        for of in [each for each in self.endpoints.values() if not each.told.HasField("url")]:
            expected = {place for place in self.outbox if self._is_due(place) and place[1] == of.told.id}
            found = await pulled(self.replicas[number], of)
            assert {self._hold(each, number) for each in found} == expected

    def _hold(self, delivery: Delivery, number: int) -> Place:
        place = (delivery.run.id, delivery.endpoint.told.id if delivery.endpoint else OWN, delivery.kind)
        assert delivery.attempts == self.outbox[place].attempts
        assert delivery.endpoint == self.endpoints.get(place[1])
        self.outbox[place].holder = number
        self.held[delivery.id] = place, delivery
        return place

    def _is_due(self, place: Place) -> bool:
        first = self.outbox.get((*place[:2], RUN_STARTED))
        waits = place[2] != RUN_STARTED and first is not None and first.status == PENDING
        each = self.outbox[place]
        return each.status == PENDING and each.holder is None and not waits

    def _is_pulled(self, place: Place) -> bool:
        return place[1] != OWN and not self.endpoints[place[1]].told.HasField("url")

    async def note(self) -> None:
        """Some of what is held, each by a replica that may not be the one that holds it."""
        for delivery_id in self.chance.sample(sorted(self.held), len(self.held) // 2):
            place, delivery = self.held[delivery_id]
            item, status, attempts = self.chance.choice(
                [
                    (attempt(delivery), DELIVERED, 1),
                    (attempt(delivery, "refused", next_attempt_ns=1), PENDING, 1),
                    (attempt(delivery, "gone"), DEAD, 1),
                    (NoteAttempt(delivery_id=delivery.id, attempt=None, error="no"), DEAD, 0),
                    (NoteAttempt(delivery_id=delivery.id, attempt=None, next_attempt_ns=1), PENDING, 0),
                ]
            )
            number = self.chance.randrange(2)
            each = self.outbox.get(place)
            noted = await flush_one(self.replicas[number], item)
            assert isinstance(noted, AttemptNoted)
            assert noted.held == (each is not None and each.holder == number)
            if noted.held and each is not None:
                each.status, each.attempts, each.holder = status, each.attempts + attempts, None
                del self.held[delivery_id]

    async def redeliver(self) -> None:
        known = {place: self.ids[place] for place in self.outbox if place in self.ids}
        chosen = self.chance.sample(sorted(known), len(known) // 3)
        again = [place for place in chosen if self.outbox[place].status != PENDING]
        assert await self.store.redeliver(DEFAULT_TENANT, [known[place] for place in chosen], 1) == len(again)
        for place in again:
            self.outbox[place].status = PENDING

    async def redeliver_missed(self) -> None:
        for endpoint_id in self.chance.sample(sorted(self.endpoints), min(1, len(self.endpoints))):
            missed = [each for place, each in self.outbox.items() if place[1] == endpoint_id and each.status == DEAD]
            assert await self.store.redeliver_missed(DEFAULT_TENANT, endpoint_id, 0, 1) == len(missed)
            for each in missed:
                each.status = PENDING

    def bury(self, number: int) -> None:
        for each in self.outbox.values():
            if each.holder == number:
                each.holder = None

    async def check(self) -> None:
        found = {
            (each.run_id, each.endpoint_id, each.event_type): each for each in await listed(self.store, limit=1_000)
        }
        shown = {place: (each.status, each.attempt_count) for place, each in found.items()}
        assert shown == {place: (each.status, each.attempts) for place, each in self.outbox.items()}
        for place, each in found.items():
            assert self.ids.setdefault(place, each.id) == each.id
        own = [each for place, each in self.outbox.items() if place[1] == OWN and each.status == PENDING]
        assert (await self.store.outbox()).open == len(own)


@pytest.mark.parametrize("seed", range(16, 22))
async def test_the_outbox_does_what_its_model_does(database: Database, seed: int) -> None:
    async with database.replica() as one, AsyncExitStack() as others:
        model = Model(random.Random(seed), [one, await others.enter_async_context(database.replica())])
        for _ in range(3):
            await model.register()
        acts = [model.begin, model.start, model.end, model.begin, model.start, model.end]
        acts += [model.take, model.pull, model.note]
        rare = [model.register, model.switch, model.forget_endpoint, model.forget_run]
        rare += [model.redeliver, model.redeliver_missed]
        for step in range(STEPS):
            if step % 40 == 39:
                await others.aclose()
                model.bury(1)
                model.replicas[1] = await others.enter_async_context(database.replica())
            await model.chance.choice(acts if model.chance.random() < 0.6 else rare)()
            await model.check()
        assert len(model.ids) > 20, "it was no test of much"
