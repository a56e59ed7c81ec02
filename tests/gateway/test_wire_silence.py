"""What a stream tells while its run tells nothing, by a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sendoff import v1
from sendoff_server.access.principal import Principal, act_for
from sendoff_server.gateway.streams.following import PING_S, SILENCE_S, told
from sendoff_server.gateway.streams.sse import streamed
from sendoff_server.gateway.streams.telling import Told, Wanted
from sendoff_server.runs.hub import Hub
from sendoff_server.runs.watching import Watching
from sendoff_server.store.port import Store
from sendoff_server.use_cases import UseCases
from tests.fixtures.clock import ManualClock

RUN = v1.Run(id="run-01a201ef-9a8c-48c3-8669-852b21da29f1", status=v1.RUN_STATUS_RUNNING)
_AGE_S = 3_600.0


class Rig:
    """A run that has a log and a hub, and a stream of it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.hub = Hub()
        self.log = [self._event(1, state_changed=v1.RunStateChanged(status=v1.RUN_STATUS_CREATED))]
        store = cast(Store, SimpleNamespace(events=self._events_of))
        self._watching = Watching(store, self.hub, self.clock, max_stream_age_s=_AGE_S, slow_consumer_s=30.0)
        self.events: list[Told] = []

    def _event(self, sequence: int, **what: Any) -> v1.RunEvent:
        return v1.RunEvent(run_id=RUN.id, sequence=sequence, **what)

    def say(self, text: str) -> None:
        message = v1.Message(id="message-1", run_id=RUN.id, step_id="step-1")
        message.assistant_message.content.text = text
        self.log.append(self._event(len(self.log) + 1, message=message))
        self.hub.recorded(v1.Run(id=RUN.id, status=RUN.status, last_sequence=len(self.log)), self.log[-1:])

    async def _events_of(self, run_id: str, after_sequence: int, limit: int) -> list[v1.RunEvent]:
        return [event for event in self.log if event.sequence > after_sequence]

    async def _look(self, run_id: str) -> v1.Run:
        return RUN

    # ---- as the use cases ----

    def watch(
        self, tenant: str, request: v1.WatchRunRequest, *, through_drain: bool
    ) -> AsyncGenerator[v1.WatchRunResponse]:
        return self._watching.frames(RUN, request, self._look, through_drain=through_drain)

    @asynccontextmanager
    async def told(self, **wanted: Any) -> AsyncGenerator[Rig]:
        async def collect() -> None:
            act_for(Principal("default", None))
            async for event in told(cast(UseCases, SimpleNamespace(runs=self)), RUN, Wanted(**wanted)):
                self.events.append(event)

        telling = asyncio.create_task(collect())
        await self.clock.advance(0)
        try:
            yield self
            self.is_over = telling.done()
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    def taken(self) -> list[tuple[str, int | None]]:
        """Types and numbers of the events since the last time."""
        events, self.events = self.events, []
        return [(event.data["message_type"], event.data.get("seq_id")) for event in events]


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_a_ping_is_first_and_then_comes_after_every_twenty_seconds_of_silence(rig: Rig) -> None:
    async with rig.told():
        assert rig.taken() == [("ping", 1)]
        await rig.clock.advance(PING_S - 1)
        assert rig.taken() == []
        await rig.clock.advance(1)
        assert rig.taken() == [("ping", 1)]
        await rig.clock.advance(PING_S - 1)
        rig.say("Hi")
        await rig.clock.advance(0)
        assert rig.taken() == [("assistant_message", 2)]
        await rig.clock.advance(PING_S - 1)
        assert rig.taken() == []
        await rig.clock.advance(1)
        assert rig.taken() == [("ping", 2)]


async def test_without_pings_there_are_none_and_the_numbers_are_the_same(rig: Rig) -> None:
    async with rig.told(pings=False):
        await rig.clock.advance(10 * PING_S)
        rig.say("Hi")
        await rig.clock.advance(0)
        assert rig.taken() == [("assistant_message", 2)]


async def test_pings_of_a_stream_that_was_resumed_tell_the_number_that_the_caller_has(rig: Rig) -> None:
    rig.say("Hi")
    async with rig.told(after=2):
        await rig.clock.advance(PING_S)
        assert rig.taken() == [("ping", 2)]


async def test_pings_of_a_stream_that_cannot_be_resumed_have_no_number(rig: Rig) -> None:
    async with rig.told(numbered=False):
        await rig.clock.advance(PING_S)
        assert rig.taken() == [("ping", None), ("ping", None)]


@pytest.mark.parametrize("pings", [True, False])
async def test_a_stream_that_is_silent_for_long_is_cut(rig: Rig, pings: bool) -> None:
    async with rig.told(pings=pings):
        for _ in range(SILENCE_S // PING_S - 1):
            await rig.clock.advance(PING_S)
        rig.say("Hi")
        await rig.clock.advance(0)
        for _ in range(SILENCE_S // PING_S - 1):
            await rig.clock.advance(PING_S)
        assert "error_message" not in dict(rig.taken())
        await rig.clock.advance(PING_S)
        (cut,) = rig.events
        assert (cut.name, cut.data["error_type"], cut.data["detail"]) == ("error", "stream_incomplete", "SILENT")
        await rig.clock.advance(0)
    assert rig.is_over


async def test_a_stream_that_is_cut_ends_as_all_do(rig: Rig) -> None:
    sent: list[bytes] = []

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    response = streamed(told(cast(UseCases, SimpleNamespace(runs=rig)), RUN, Wanted(pings=False)))
    answering = asyncio.create_task(response({"type": "http", "method": "POST"}, asyncio.Event().wait, send))  # type: ignore[arg-type]  # the caller stays
    for _ in range(2 * SILENCE_S // PING_S):
        if not answering.done():
            await rig.clock.advance(PING_S)
    await answering
    assert b'"stream_incomplete"' in sent[-3]
    assert sent[-2:] == [b"data: [DONE]\n\n", b""]


async def test_a_stream_outlives_the_watches_that_it_is_made_of(rig: Rig) -> None:
    """A watch ends when it is old; whoever reads the stream does not notice."""
    async with rig.told():
        for _ in range(6):
            await rig.clock.advance(_AGE_S / 4)
            rig.say("Hi")
            await rig.clock.advance(0)
        said = [number for kind, number in rig.taken() if kind == "assistant_message"]
    assert said == [2, 3, 4, 5, 6, 7]
