"""Watches by themselves, with a clock that stands still: who reads slowly, who comes late, what is too large."""

from __future__ import annotations

from typing import cast

import pytest

from sendoff import v1
from sendoff_server.page_fit import MAX_PAGE_BYTES
from sendoff_server.runs.hub import Hub
from sendoff_server.runs.watching import Watching
from sendoff_server.store.port import Store
from tests.fixtures.clock import ManualClock

RUN_ID = "run-1"
SLOW_S = 30.0


class Log:
    """The log of one run that goes on."""

    def __init__(self, *events: v1.RunEvent) -> None:
        self.log = list(events)

    async def events(self, run_id: str, after_sequence: int, limit: int) -> list[v1.RunEvent]:
        return [e for e in self.log if e.sequence > after_sequence][:limit]

    async def look(self, run_id: str = RUN_ID) -> v1.Run:
        return v1.Run(id=RUN_ID, status=v1.RUN_STATUS_RUNNING, last_sequence=len(self.log))


class Rig:
    def __init__(self, *events: v1.RunEvent) -> None:
        self.log = Log(*events)
        self.clock = ManualClock()
        self.hub = Hub()
        self.watching = Watching(
            cast(Store, self.log), self.hub, self.clock, max_stream_age_s=3_600, slow_consumer_s=SLOW_S
        )

    async def first_and_cut(self, request: v1.WatchRunRequest) -> list[v1.WatchRunResponse]:
        """All frames of a watch whose first frame is left untaken for too long."""
        frames = self.watching.frames(await self.log.look(), request, self.log.look)
        first = await anext(frames)
        await self.clock.advance(SLOW_S + 1)
        return [first, *[frame async for frame in frames]]


def event(sequence: int) -> v1.RunEvent:
    return v1.RunEvent(run_id=RUN_ID, sequence=sequence, state_changed=v1.RunStateChanged())


def said(sequence: int, text: str) -> v1.RunEvent:
    message = v1.Message(id="m", user_message=v1.UserMessage(content=v1.Content(text=text)))
    return v1.RunEvent(run_id=RUN_ID, sequence=sequence, message=message)


@pytest.mark.parametrize(
    ("request_", "resume_after"),
    [
        (v1.WatchRunRequest(run_id=RUN_ID), 1),
        (v1.WatchRunRequest(run_id=RUN_ID, after_sequence=1), 2),
        (v1.WatchRunRequest(run_id=RUN_ID, snapshot=True), 3),
    ],
    ids=["from the start", "from the middle", "snapshot"],
)
async def test_a_watcher_that_leaves_a_frame_untaken_is_cut_behind_it(
    request_: v1.WatchRunRequest, resume_after: int
) -> None:
    first, cut = await Rig(event(1), event(2), event(3)).first_and_cut(request_)
    assert not first.HasField("end")
    assert cut.end == v1.StreamEnd(reason=v1.StreamEnd.REASON_SLOW_CONSUMER, resume_after_sequence=resume_after)


async def test_a_slow_watcher_of_what_comes_is_not_sent_back_to_the_start() -> None:
    rig = Rig(event(1), event(2))
    with rig.hub.watching(RUN_ID) as topic:
        topic.write("message-1", 0, "text", "half")
        request = v1.WatchRunRequest(run_id=RUN_ID, latest=True, include_deltas=True)
        first, cut = await rig.first_and_cut(request)
    assert first.HasField("delta")
    assert cut.end.resume_after_sequence == 2


async def test_the_end_of_a_watch_is_its_last_frame_however_slowly_it_is_taken() -> None:
    rig = Rig(event(1), v1.RunEvent(run_id=RUN_ID, sequence=2, finished=v1.RunFinished()))
    request = v1.WatchRunRequest(run_id=RUN_ID, after_sequence=2)
    frames = rig.watching.frames(await rig.log.look(), request, rig.log.look)
    rig.watching.drain()
    end = await anext(frames)
    await rig.clock.advance(SLOW_S + 1)
    assert end.end.reason == v1.StreamEnd.REASON_SERVER_DRAINING
    assert [frame async for frame in frames] == []


async def test_a_snapshot_that_is_too_large_for_a_frame_comes_in_several() -> None:
    text = "x" * (MAX_PAGE_BYTES * 2 // 3)
    rig = Rig(*[said(sequence, text) for sequence in range(1, 6)])
    request = v1.WatchRunRequest(run_id=RUN_ID, snapshot=True)
    frames = rig.watching.frames(await rig.log.look(), request, rig.log.look)
    parts: list[v1.RunSnapshot] = []
    while not parts or parts[-1].more:
        parts.append((await anext(frames)).snapshot)
    await frames.aclose()
    assert [len(part.messages) for part in parts] == [1, 1, 1, 1, 1]
    assert {part.as_of_sequence for part in parts} == {5}
    assert all(part.ByteSize() <= MAX_PAGE_BYTES + 1_000 for part in parts)
