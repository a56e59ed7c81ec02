"""What both clients do with a watch whose streams break."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing
from typing import Any

import grpc
import pytest

import sendoff
from sendoff import methods, v1
from tests.unit.client.logs import delta, end, event, frames, heartbeat, log, run, said
from tests.unit.client.scripted_server import (
    RESET,
    RUN_ID,
    UNAVAILABLE,
    Asker,
    Failure,
    ScriptedServer,
    Silence,
    asking,
)

FINISHED = v1.StreamEnd.REASON_RUN_FINISHED
CLEAN_ENDS = {
    "draining": v1.StreamEnd.REASON_SERVER_DRAINING,
    "age": v1.StreamEnd.REASON_MAX_STREAM_AGE,
    "slow": v1.StreamEnd.REASON_SLOW_CONSUMER,
}


def positions(server: ScriptedServer) -> list[int]:
    return [request.after_sequence for request in server.asked(v1.WatchRunRequest)]


async def test_a_whole_stream_is_the_log(asker: Asker, server: ScriptedServer) -> None:
    server.plan_streams([*frames(*log(3)), end(FINISHED, 3)])

    assert await asker.every("watch", RUN_ID) == log(3)


@pytest.mark.parametrize("cut_after", range(5))
@pytest.mark.parametrize(
    "cut",
    [[UNAVAILABLE], [RESET], [Failure(grpc.StatusCode.UNKNOWN, "Stream removed")], []],
    ids=["unavailable", "reset", "removed", "no end"],
)
async def test_a_stream_cut_anywhere_is_resumed_without_a_trace(
    asker: Asker, server: ScriptedServer, cut_after: int, cut: list[Failure]
) -> None:
    whole = log(5)
    server.plan_streams([*frames(*whole[:cut_after]), *cut], frames(*whole[cut_after:]))

    assert await asker.every("watch", RUN_ID) == whole

    assert positions(server) == [0, cut_after]
    assert asker.sleeps.taken_s == [0.05]


@pytest.mark.parametrize("reason", CLEAN_ENDS.values(), ids=CLEAN_ENDS)
async def test_a_stream_that_the_server_ends_early_is_resumed_at_once(
    asker: Asker, server: ScriptedServer, reason: v1.StreamEnd.Reason.ValueType
) -> None:
    whole = log(4)
    server.plan_streams([*frames(*whole[:2]), end(reason, 2)], frames(*whole[2:]))

    assert await asker.every("watch", RUN_ID) == whole

    assert positions(server) == [0, 2]
    assert asker.sleeps.taken_s == [0.0]


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
async def test_a_silent_stream_is_replaced(kind: str, server: ScriptedServer) -> None:
    whole = log(2)
    server.plan_streams([*frames(whole[0]), Silence()], frames(whole[1]))

    async with asking(kind, server.address) as asker:
        found = await asker.every("watch", RUN_ID, heartbeat_interval_s=0.05)

    assert found == whole
    assert positions(server) == [0, 1]
    async with asyncio.timeout(5):
        await server.cancelled.wait()


async def test_heartbeats_are_not_handed_on(asker: Asker, server: ScriptedServer) -> None:
    server.plan_streams([heartbeat(), *frames(*log(1)), heartbeat()])

    assert await asker.every("watch", RUN_ID) == log(1)


async def test_a_refused_watch_is_not_repeated(asker: Asker, server: ScriptedServer) -> None:
    server.plan_streams([Failure(grpc.StatusCode.NOT_FOUND, reason="RUN_NOT_FOUND")])

    with pytest.raises(sendoff.NotFound) as told:
        await asker.every("watch", RUN_ID)

    assert told.value.reason == "RUN_NOT_FOUND"
    assert len(server.requests) == 1


async def test_a_fault_that_the_server_reports_itself_is_no_cut(asker: Asker, server: ScriptedServer) -> None:
    server.plan_streams([Failure(grpc.StatusCode.INTERNAL, reason="INTERNAL")])

    with pytest.raises(sendoff.Internal):
        await asker.every("watch", RUN_ID)


async def test_a_watch_that_never_begins_is_given_up_soon(asker: Asker, server: ScriptedServer) -> None:
    server.plan_streams(*[[UNAVAILABLE]] * 30)

    with pytest.raises(sendoff.Unavailable):
        await asker.every("watch", RUN_ID)

    assert len(server.requests) == 6


async def test_a_watch_that_has_begun_is_given_up_late(asker: Asker, server: ScriptedServer) -> None:
    server.plan_streams([*frames(event(1)), UNAVAILABLE], *[[UNAVAILABLE]] * 30)

    with pytest.raises(sendoff.Unavailable):
        await asker.every("watch", RUN_ID)

    assert len(server.requests) == 24
    assert 30 < sum(asker.sleeps.taken_s) < 120


async def test_a_gap_in_the_log_is_an_error(asker: Asker, server: ScriptedServer) -> None:
    server.plan_streams(frames(event(1), event(3)))

    with pytest.raises(sendoff.LogGap) as told:
        await asker.every("watch", RUN_ID)

    assert told.value.metadata["after_sequence"] == "1"


async def test_a_filtered_log_has_gaps(asker: Asker, server: ScriptedServer) -> None:
    server.plan_streams(frames(event(1), event(3)), frames(event(7, last=True)))
    types = [v1.MessageType.MESSAGE_TYPE_ASSISTANT_MESSAGE]

    found = await asker.every("watch", RUN_ID, message_types=types)

    assert [each.sequence for each in found] == [1, 3, 7]
    assert positions(server) == [0, 3]
    assert server.requests[1].message_types == types


async def test_a_snapshot_comes_once_and_the_log_goes_on_behind_it(asker: Asker, server: ScriptedServer) -> None:
    snapshot = v1.RunSnapshot(run=run(v1.RunStatus.RUN_STATUS_RUNNING), as_of_sequence=4)
    server.plan_streams([UNAVAILABLE], [*frames(snapshot, event(5)), RESET], frames(event(6, last=True)))

    found = await asker.every("watch", RUN_ID, snapshot=True)

    assert found == [snapshot, event(5), event(6, last=True)]
    assert [request.WhichOneof("position") for request in server.requests] == ["snapshot", "snapshot", "after_sequence"]
    assert server.requests[-1].after_sequence == 5


async def test_latest_is_a_place_in_the_log_that_a_cut_does_not_move(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.GET_RUN, run(v1.RunStatus.RUN_STATUS_RUNNING, last_sequence=7))
    server.plan_streams([UNAVAILABLE], frames(event(8), event(9, last=True)))

    found = await asker.every("watch", RUN_ID, latest=True)

    assert [each.sequence for each in found] == [8, 9]
    assert positions(server) == [7, 7]


async def test_where_to_begin_is_told_in_one_way_only(asker: Asker) -> None:
    with pytest.raises(ValueError, match="exclude"):
        await asker.every("watch", RUN_ID, latest=True, snapshot=True)


async def test_deltas_of_a_message_that_is_final_are_dropped(asker: Asker, server: ScriptedServer) -> None:
    early, late = delta("m", "wo"), delta("m", "rd", offset=2)
    final = v1.RunEvent(sequence=1, message=said("m", "word"))
    server.plan_streams(frames(early, final, late, event(2, last=True)))

    found = await asker.every("watch", RUN_ID, include_deltas=True)

    assert found == [early, final, event(2, last=True)]
    assert server.requests[0].include_deltas


async def test_deltas_after_a_reconnect_are_handed_on_as_they_are(asker: Asker, server: ScriptedServer) -> None:
    before, after = delta("m", "wo"), delta("m", "word", replaces=True)
    server.plan_streams([*frames(before), UNAVAILABLE], frames(after, *log(1)))

    assert await asker.every("watch", RUN_ID, include_deltas=True) == [before, after, *log(1)]


async def test_closing_a_watch_cancels_the_call(server: ScriptedServer) -> None:
    server.plan_streams([*frames(event(1)), Silence()])

    async with sendoff.AsyncClient(server.address) as client, aclosing(client.watch(RUN_ID)) as watch:
        assert await anext(watch) == event(1)

    async with asyncio.timeout(5):
        await server.cancelled.wait()


async def test_closing_a_blocking_watch_cancels_the_call(server: ScriptedServer) -> None:
    server.plan_streams([*frames(event(1)), Silence()])

    def take_one(client: sendoff.Client) -> Any:
        watch = client.watch(RUN_ID)
        first = next(watch)
        watch.close()
        return first

    with sendoff.Client(server.address) as client:
        assert await asyncio.to_thread(take_one, client) == event(1)
        async with asyncio.timeout(5):
            await server.cancelled.wait()


async def test_cancelling_a_task_that_watches_cancels_the_call(server: ScriptedServer) -> None:
    server.plan_streams([*frames(event(1)), Silence()])
    begun = asyncio.Event()

    async def follow(client: sendoff.AsyncClient) -> None:
        async for _ in client.watch(RUN_ID):
            begun.set()

    async with sendoff.AsyncClient(server.address) as client, asyncio.timeout(20):
        task = asyncio.create_task(follow(client))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.cancelled.wait()


async def test_a_reader_that_takes_its_time_is_not_taken_for_a_silent_stream(server: ScriptedServer) -> None:
    server.plan_streams(frames(*log(2)))

    def take_slowly(client: sendoff.Client) -> list[Any]:
        watch = client.watch(RUN_ID, heartbeat_interval_s=0.02)
        first = next(watch)
        threading.Event().wait(0.3)  # the reader's own work: five times the limit
        return [first, *watch]

    with sendoff.Client(server.address) as client:
        assert await asyncio.to_thread(take_slowly, client) == log(2)
    assert positions(server) == [0]
