"""WatchRun over the wire: order, clean ends, cancelled callers and slow ones."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from sendoff import v1
from sendoff.v1.run_service_pb2_grpc import RunServiceStub
from tests.unit.api.door import PATIENCE_S, RUN_ID, Door, until

REQUEST = v1.WatchRunRequest(run_id=RUN_ID)
MORE_THAN_A_WINDOW = "x" * (2 * 1024 * 1024)
SMALL_WINDOW = (
    ("grpc.max_receive_message_length", -1),
    # Left alone, a client learns to take megabytes that nobody reads.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 64 * 1024),
)


def event(sequence: int, text: str = "") -> v1.WatchRunResponse:
    message = v1.Message(assistant_message=v1.AssistantMessage(content=v1.Content(text=text)))
    return v1.WatchRunResponse(event=v1.RunEvent(run_id=RUN_ID, sequence=sequence, message=message))


def snapshot(sequence: int, text: str) -> v1.WatchRunResponse:
    return v1.WatchRunResponse(snapshot=v1.RunSnapshot(run=v1.Run(id=text), as_of_sequence=sequence))


def delta(text: str) -> v1.WatchRunResponse:
    return v1.WatchRunResponse(delta=v1.MessageDelta(text=text))


async def test_frames_arrive_in_order_and_the_stream_ends_with_the_watch(door: Door, runs: RunServiceStub) -> None:
    door.runs.frames = [event(number) for number in range(1, 101)]
    assert [frame async for frame in runs.WatchRun(REQUEST)] == door.runs.frames
    assert door.runs.watch_closed.is_set()


async def test_a_caller_that_cancels_closes_the_watch_behind_the_door(
    door: Door, runs: RunServiceStub, caplog: pytest.LogCaptureFixture
) -> None:
    door.runs.frames = [event(1)]
    door.runs.watch_stays = True
    call = runs.WatchRun(REQUEST)
    async with asyncio.timeout(PATIENCE_S):
        assert await anext(aiter(call)) == event(1)
        call.cancel()
        await door.runs.watch_closed.wait()
        await until(lambda: ("RunService/WatchRun", "CANCELLED") in door.server.calls.ended)
    assert caplog.records == []


async def test_a_caller_whose_time_is_over_closes_the_watch_behind_the_door(door: Door, runs: RunServiceStub) -> None:
    door.runs.watch_stays = True
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await anext(aiter(runs.WatchRun(REQUEST, timeout=0.1)))
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(PATIENCE_S):
        await door.runs.watch_closed.wait()


async def test_nothing_is_made_for_a_caller_that_does_not_read(door: Door) -> None:
    door.runs.frames = [event(number, MORE_THAN_A_WINDOW) for number in range(1, 4)]
    async with door.channel(*SMALL_WINDOW) as channel, asyncio.timeout(PATIENCE_S):
        call = RunServiceStub(channel).WatchRun(REQUEST)
        await door.runs.entered.wait()
        # Other calls go their way on the same connection; each is a round trip in which a frame could be made.
        for _ in range(20):
            await RunServiceStub(channel).GetRun(v1.GetRunRequest(run_id=RUN_ID))
        assert door.runs.frames_made == 1
        assert [frame.event.sequence async for frame in call] == [1, 2, 3]


async def test_a_caller_that_cancels_with_a_frame_unread_closes_the_watch(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    door.runs.frames = [event(1, MORE_THAN_A_WINDOW)]
    async with door.channel(*SMALL_WINDOW) as channel, asyncio.timeout(PATIENCE_S):
        call = RunServiceStub(channel).WatchRun(REQUEST)
        await door.runs.entered.wait()
        await RunServiceStub(channel).GetRun(v1.GetRunRequest(run_id=RUN_ID))
        call.cancel()
        await door.runs.watch_closed.wait()
        await until(lambda: ("RunService/WatchRun", "CANCELLED") in door.server.calls.ended)
    assert caplog.records == []
