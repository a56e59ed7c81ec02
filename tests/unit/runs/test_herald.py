"""Hints are told those of a moment together, and text again if it could not be sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

from sendoff import v1
from sendoff_server.runs.herald import GATHER_S, PAUSE_S, Herald
from sendoff_server.runs.hub import Hub
from sendoff_server.runs.remote_text import REPEAT_S
from sendoff_server.store.hints import Gone, Hint, LanesWait, Missed, Text, Watches, Wrote
from sendoff_server.store.items import Cancel, MarkCancel, Marked
from sendoff_server.store.port import Store, StoreFailed
from tests.fixtures.clock import ManualClock

RUN = "run-1"


class Wire:
    """What a store is to a herald."""

    def __init__(self, *, is_alone: bool = False) -> None:
        self.is_alone = is_alone
        self.is_cut = False
        self.told: list[list[Hint]] = []

    async def tell(self, hints: Sequence[Hint]) -> None:
        if self.is_cut:
            raise StoreFailed("cut")
        self.told.append(list(hints))


class Rig:
    def __init__(self, *, is_alone: bool = False) -> None:
        self.wire = Wire(is_alone=is_alone)
        self.clock = ManualClock()
        self.hub = Hub(shared=not is_alone)
        self.herald = Herald(cast(Store, self.wire), self.hub, self.clock)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self.herald.running():
            yield

    def wrote(self, run_id: str) -> None:
        self.herald.on_result(MarkCancel("t", run_id, Cancel(reason="enough")), Marked(None))

    async def told(self) -> list[Hint]:
        """What is told by now."""
        for _ in range(10):
            await asyncio.sleep(0)
        told, self.wire.told = self.wire.told, []
        return [hint for hints in told for hint in hints]


async def test_the_first_hint_goes_at_once_and_those_behind_it_together() -> None:
    rig = Rig()
    async with rig.running():
        rig.wrote("run-1")
        assert [list(hint.run_ids) for hint in await rig.told() if isinstance(hint, Wrote)] == [["run-1"]]
        for number in (2, 3, 2):
            rig.wrote(f"run-{number}")
        rig.herald.lanes_wait()
        rig.herald.lanes_wait()
        rig.hub.forget("agent-1")
        assert await rig.told() == []
        await rig.clock.advance(GATHER_S)
        wrote, gone, lanes = await rig.told()
        assert isinstance(wrote, Wrote)
        assert isinstance(gone, Gone)
        assert (list(wrote.run_ids), list(gone.owner_ids), lanes) == (["run-2", "run-3"], ["agent-1"], LanesWait())
        await rig.clock.advance(GATHER_S)
        assert await rig.told() == []


async def test_text_that_could_not_be_sent_is_sent_from_its_beginning() -> None:
    rig = Rig()
    async with rig.running():
        with rig.hub.executing("t", v1.Run(id=RUN, last_sequence=2)) as topic:
            rig.herald.heard("replica-2", Watches(begin=[RUN]))
            topic.write("message-1", 0, "text", "one ")
            (text,) = await rig.told()
            assert text == Text("replica-2", RUN, 2, _delta("one "))
            rig.wire.is_cut = True
            topic.write("message-1", 0, "text", "two ")
            await rig.clock.advance(GATHER_S)
            assert await rig.told() == []
            rig.wire.is_cut = False
            await rig.clock.advance(PAUSE_S)
            await rig.clock.advance(GATHER_S)
            (text,) = [hint for hint in await rig.told() if isinstance(hint, Text)]
            assert text.delta == _delta("one two ")


async def test_who_watches_is_said_anew_after_hints_may_have_been_lost() -> None:
    rig = Rig()
    async with rig.running():
        with rig.hub.watching(RUN, text=True):
            assert _asked(await rig.told()) == [([RUN], {}, [])]
            rig.herald.heard("replica-1", Missed())
            await rig.clock.advance(GATHER_S)
            assert _asked(await rig.told()) == [([RUN], {}, [])]
            await rig.clock.advance(REPEAT_S)
            assert _asked(await rig.told()) == [([], {RUN: 0}, [])]
        await rig.clock.advance(GATHER_S)
        assert _asked(await rig.told()) == [([], {}, [RUN])]
        await rig.clock.advance(REPEAT_S)
        assert await rig.told() == [], "nobody watches"


async def test_who_watches_without_text_asks_nobody() -> None:
    rig = Rig()
    async with rig.running():
        with rig.hub.watching(RUN):
            await rig.clock.advance(REPEAT_S)
            assert await rig.told() == []


async def test_who_is_alone_tells_nobody() -> None:
    rig = Rig(is_alone=True)
    async with rig.running():
        rig.wrote(RUN)
        rig.hub.forget("agent-1")
        rig.herald.lanes_wait()
        with rig.hub.watching(RUN, text=True):
            await rig.clock.advance(REPEAT_S)
            assert await rig.told() == []


def _asked(hints: Sequence[Hint]) -> list[tuple[list[str], dict[str, int], list[str]]]:
    watches = [hint for hint in hints if isinstance(hint, Watches)]
    return [(list(each.begin), dict(each.still), list(each.over)) for each in watches]


def _delta(text: str) -> v1.MessageDelta:
    return v1.MessageDelta(message_id="message-1", offset=0, replaces=True, text=text)
