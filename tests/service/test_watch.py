"""A watch is the log, each event once and in order, with the text being written beside it (P5)."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator

import grpc
import psutil
import pytest

from sendoff import v1
from tests.faults.caller import Caller, Stream, calling, patiently, refused, request, script, seconds
from tests.faults.gated import hold_calls
from tests.faults.run_log import Screen, check_log, text_of
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve, ServerProcess

_WORDS = "one two three four five six"
_HALF = 3


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    """Holds every call when it begins, behind three chunks and before its end."""
    chunks = len(_WORDS.split())
    return hold_calls(monkeypatch, HeldCalls(lambda _, sent: sent in (0, _HALF, chunks)))


@pytest.fixture
async def caller(gate: HeldCalls, serve: Serve) -> AsyncIterator[Caller]:
    async with serve() as server, calling(server.grpc.address) as connected:
        yield connected


async def _go_on(gate: HeldCalls, chunk: int) -> None:
    """Let the held call go to that chunk."""
    gate.release()
    assert (await patiently(gate.held.get()))[1] == chunk


async def _begun(gate: HeldCalls, caller: Caller, **told: object) -> v1.Run:
    run = await caller.send(await caller.agent(), script(text=_WORDS, **told))
    await patiently(gate.held.get())
    return run


async def _ended_run(gate: HeldCalls, caller: Caller) -> v1.Run:
    gate.release(3)
    return await caller.ended((await caller.send(await caller.agent(), script(text=_WORDS))).id)


async def _until_text(screen: Screen, stream: Stream, text: str) -> None:
    """Show frames until exactly that is what is being written."""
    while list(screen.writing.values()) != [text]:
        screen.show(await patiently(anext(aiter(stream))))


# ---- the log ----


async def test_watchers_cut_at_random_points_see_exactly_the_log(serve: Serve) -> None:
    chance = random.Random(seed := random.randrange(1 << 32))
    print(f"seed {seed}")

    async def watch(caller: Caller, run_id: str, chance: random.Random) -> Screen:
        screen = Screen()
        while not screen.finished:
            screen.reconnect()
            stream = caller.watch(run_id, after_sequence=screen.last_sequence, include_deltas=chance.random() < 0.5)
            frames = chance.randint(1, 4)
            async for frame in stream:
                screen.show(frame)
                frames -= 1
                if not frames:
                    stream.cancel()
                    break
        return screen

    async with serve() as server, calling(server.grpc.address) as caller:
        error = {"kind": "overloaded", "after_chunks": 2, "attempts": 2, "retry_after_s": 0.01}
        text = script(words=30, delay_ms=2, reasoning="let me think", error=error)
        runs = [await caller.send(await caller.agent(), text) for _ in range(3)]
        seeds = [(run.id, random.Random(chance.random())) for run in runs for _ in range(6)]
        screens = await patiently(asyncio.gather(*(watch(caller, *each) for each in seeds)))
        for run in runs:
            log = await caller.log(run.id, page_size=3)
            check_log(await caller.get(run.id), log)
            assert [s.events for s in screens if s.events[0].run_id == run.id] == [log] * 6


async def test_a_finished_run_is_replayed_from_any_place(gate: HeldCalls, caller: Caller) -> None:
    run = await _ended_run(gate, caller)
    log = await caller.log(run.id)
    for after in range(len(log) + 1):
        screen = Screen(after)
        end = await patiently(screen.follow(caller.watch(run.id, after_sequence=after)))
        assert end.reason == v1.StreamEnd.REASON_RUN_FINISHED
        assert screen.events == log[after:]


async def test_from_latest_only_what_happens_from_now_on_comes(gate: HeldCalls, caller: Caller) -> None:
    run = await _begun(gate, caller)
    before = (await caller.get(run.id)).last_sequence
    screen = Screen(before)
    stream = caller.watch(run.id, latest=True, include_deltas=True)
    await _go_on(gate, _HALF)
    await _until_text(screen, stream, "one two three ")
    gate.release(2)
    await patiently(screen.follow(stream))
    assert [event.sequence for event in screen.events] == list(range(before + 1, len(await caller.log(run.id)) + 1))


async def test_from_latest_of_a_finished_run_the_end_comes_at_once(gate: HeldCalls, caller: Caller) -> None:
    run = await _ended_run(gate, caller)
    screen = Screen(run.last_sequence)
    assert (await patiently(screen.follow(caller.watch(run.id, latest=True)))).reason
    assert screen.events == []


async def test_message_types_choose_among_messages_and_leave_all_else(gate: HeldCalls, caller: Caller) -> None:
    run = await _ended_run(gate, caller)
    stream = caller.watch(run.id, message_types=[v1.MESSAGE_TYPE_ASSISTANT_MESSAGE])
    seen = [frame.event async for frame in stream if frame.HasField("event")]
    log = await caller.log(run.id)
    assert seen == [event for event in log if not event.message.HasField("user_message")]
    assert len(seen) == len(log) - 1


async def test_many_messages_of_unwanted_types_do_not_hold_up_a_watch(serve: Serve) -> None:
    async with serve() as server, calling(server.grpc.address) as caller:
        said = v1.InputMessage(message=v1.MessageCreate(role=v1.ROLE_USER, content=v1.Content(text="again")))
        agent = await caller.agent("scripted/echo")
        sent = v1.CreateMessageAsyncRequest(agent_id=agent, messages=v1.InputMessages(messages=[said] * 450))
        run = await caller.ended((await caller.runs.CreateMessageAsync(sent)).id)
        stream = caller.watch(run.id, message_types=[v1.MESSAGE_TYPE_ASSISTANT_MESSAGE])
        async with asyncio.timeout(5):
            seen = [frame.event async for frame in stream if frame.HasField("event")]
        assert [event.WhichOneof("event") for event in seen][-1] == "finished"
        assert sum(event.HasField("message") for event in seen) == 1


async def test_five_hundred_watchers_of_one_run_all_see_the_same(gate: HeldCalls, caller: Caller) -> None:
    run = await _begun(gate, caller)
    screens = [Screen() for _ in range(500)]
    streams = [caller.watch(run.id, include_deltas=n % 2 == 0) for n in range(500)]
    following = [asyncio.create_task(s.follow(stream)) for s, stream in zip(screens, streams, strict=True)]
    await _go_on(gate, _HALF)
    await _go_on(gate, len(_WORDS.split()))
    gate.release()
    await patiently(asyncio.gather(*following))
    log = await caller.log(run.id)
    assert all(screen.events == log for screen in screens)


# ---- the text being written ----


async def test_deltas_add_up_to_the_final_text_for_early_and_late_watchers(gate: HeldCalls, caller: Caller) -> None:
    run = await _begun(gate, caller)
    early, late = Screen(), Screen()
    early_stream = caller.watch(run.id, include_deltas=True)
    await _go_on(gate, _HALF)
    await _until_text(early, early_stream, "one two three ")
    late_stream = caller.watch(run.id, include_deltas=True)
    await _until_text(late, late_stream, "one two three ")
    await _go_on(gate, len(_WORDS.split()))
    for screen, stream in ((early, early_stream), (late, late_stream)):
        await _until_text(screen, stream, _WORDS)
    gate.release()
    for screen, stream in ((early, early_stream), (late, late_stream)):
        await patiently(screen.follow(stream))
        assert text_of(screen.messages[-1]) == _WORDS


async def test_a_snapshot_holds_the_text_so_far_and_the_tail_goes_on_from_there(
    gate: HeldCalls, caller: Caller
) -> None:
    run = await _begun(gate, caller)
    await _go_on(gate, _HALF)
    screen = Screen()
    stream = caller.watch(run.id, snapshot=True, include_deltas=True)
    screen.show(await patiently(anext(aiter(stream))))
    assert screen.snapshot is not None
    assert screen.snapshot.run == await caller.get(run.id)
    assert [text_of(message) for message in screen.messages] == [script(text=_WORDS)]
    assert list(screen.writing.values()) == ["one two three "]
    await _go_on(gate, len(_WORDS.split()))
    await _until_text(screen, stream, _WORDS)
    gate.release()
    await patiently(screen.follow(stream))
    assert [text_of(message) for message in screen.messages] == [script(text=_WORDS), _WORDS]
    assert screen.last_sequence == (await caller.get(run.id)).last_sequence


async def test_a_snapshot_of_a_finished_run_is_all_there_is(gate: HeldCalls, caller: Caller) -> None:
    run = await _ended_run(gate, caller)
    screen = Screen()
    end = await patiently(screen.follow(caller.watch(run.id, snapshot=True, include_deltas=True)))
    assert screen.snapshot is not None
    assert screen.snapshot.run == run
    assert screen.messages == await caller.messages(run.id)
    assert (screen.events, screen.writing, end.reason) == ([], {}, v1.StreamEnd.REASON_RUN_FINISHED)


async def test_without_deltas_none_come(gate: HeldCalls, caller: Caller) -> None:
    run = await _begun(gate, caller)
    screen = Screen()
    gate.release(3)
    await patiently(screen.follow(caller.watch(run.id)))
    assert screen.deltas == 0
    assert text_of(screen.messages[-1]) == _WORDS


async def test_the_text_of_a_failed_call_is_retracted_before_the_next_one_is_shown(
    gate: HeldCalls, caller: Caller
) -> None:
    error = {"kind": "unavailable", "after_chunks": 4, "attempts": 1, "retry_after_s": 0}
    run = await _begun(gate, caller, error=error)
    screen = Screen()
    stream = caller.watch(run.id, include_deltas=True)
    await _go_on(gate, _HALF)
    await _until_text(screen, stream, "one two three ")
    await _go_on(gate, 0)  # fails, is retracted, and is made again
    gate.release(3)
    await patiently(screen.follow(stream))
    assert [gone.reason for gone in screen.retracted] == ["MODEL_RETRY"]
    assert text_of(screen.messages[-1]) == _WORDS
    assert screen.messages[-1].id != screen.retracted[0].message_id


async def test_reasoning_and_text_are_parts_of_their_own(serve: Serve) -> None:
    async with serve() as server, calling(server.grpc.address) as caller:
        text = script(reasoning="think about it", text="said at last", delay_ms=5)
        run = await caller.send(await caller.agent(), text)
        screen = Screen()
        await patiently(screen.follow(caller.watch(run.id, include_deltas=True)))
        assert [text_of(message) for message in screen.messages[1:]] == ["think about it", "said at last"]
        assert screen.messages[1].id == screen.messages[2].id


# ---- silence and ends ----


async def test_a_silent_run_sends_heartbeats_with_its_newest_sequence(gate: HeldCalls, caller: Caller) -> None:
    run = await _begun(gate, caller)
    screen = Screen()
    stream = caller.watch(run.id, heartbeat_interval=seconds(1))
    while len(screen.heartbeats) < 2:
        screen.show(await patiently(anext(aiter(stream))))
    newest = (await caller.get(run.id)).last_sequence
    assert [beat.last_sequence for beat in screen.heartbeats] == [newest] * 2
    times = [beat.server_time.ToNanoseconds() for beat in screen.heartbeats]
    assert times[1] - times[0] > 0.9e9
    gate.release(3)
    await patiently(screen.follow(stream))


async def test_an_old_stream_ends_with_where_to_go_on(gate: HeldCalls, serve: Serve) -> None:
    async with serve(max_stream_age_s=1.0) as server, calling(server.grpc.address) as caller:
        run = await _begun(gate, caller)
        screen = Screen()
        async with asyncio.timeout(5):
            end = await screen.follow(caller.watch(run.id))
        assert end.reason == v1.StreamEnd.REASON_MAX_STREAM_AGE
        gate.release(3)
        screen.reconnect()
        await patiently(screen.follow(caller.watch(run.id, after_sequence=end.resume_after_sequence)))
        assert screen.events == await caller.log(run.id)


async def test_a_server_that_stops_tells_watchers_where_to_go_on(server_process: ServerProcess) -> None:
    await server_process.start()
    async with calling(server_process.address) as caller:
        run = await caller.send(await caller.agent(), script(text=_WORDS, hang=True))
        screen = Screen()
        stream = caller.watch(run.id, include_deltas=True)
        await _until_text(screen, stream, _WORDS)
        server_process.signal(signal.SIGTERM)
        end = await patiently(screen.follow(stream))
        assert end.reason == v1.StreamEnd.REASON_SERVER_DRAINING
        assert end.resume_after_sequence == screen.events[-1].sequence


async def test_a_run_that_does_not_exist_is_not_watched(caller: Caller) -> None:
    unknown = "run-00000000-0000-4000-8000-000000000000"

    async def watch() -> None:
        await Screen().follow(caller.watch(unknown))

    refusal = await refused(watch())
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")


@pytest.mark.parametrize("queued", [False, True])
async def test_watchers_of_a_deleted_agent_see_the_end_of_its_runs(
    queued: bool, gate: HeldCalls, caller: Caller
) -> None:
    run = await _begun(gate, caller)
    if queued:
        run = await caller.send(run.agent_id, script(text="waits"))
    screen = Screen()
    stream = caller.watch(run.id, include_deltas=True)
    screen.show(await patiently(anext(aiter(stream))))
    await caller.agents.DeleteAgent(v1.DeleteAgentRequest(agent_id=run.agent_id, cancel_runs=True))
    end = await patiently(screen.follow(stream))
    assert end.reason == v1.StreamEnd.REASON_RUN_FINISHED
    check_log(screen.events[-1].finished.run, screen.events)
    refusal = await refused(caller.get(run.id))
    assert refusal.reason == "RUN_NOT_FOUND"


# ---- slow readers ----

_BIG = "x" * 1_000_000


async def _unread(caller: Caller, run_id: str) -> Stream:
    """A stream whose first frame was read, and then no more: the flow window fills up."""
    stream = caller.watch(run_id)
    await patiently(anext(aiter(stream)))
    return stream


def _big_request(agent: str) -> v1.CreateMessageAsyncRequest:
    """A log of a few large events."""
    said = v1.InputMessage(message=v1.MessageCreate(role=v1.ROLE_USER, content=v1.Content(text=_BIG)))
    return v1.CreateMessageAsyncRequest(agent_id=agent, messages=v1.InputMessages(messages=[said] * 8))


async def test_a_slow_reader_is_cut_and_can_go_on_where_it_was(serve: Serve) -> None:
    async with serve(slow_consumer_s=0.2) as server, calling(server.grpc.address) as caller:
        agent = await caller.agent("scripted/echo")
        run = await caller.ended((await caller.runs.CreateMessageAsync(_big_request(agent))).id)
        stream = await _unread(caller, run.id)
        await asyncio.sleep(0.5)  # being slow is what this is about
        screen = Screen(1)
        end = await patiently(screen.follow(stream))
        assert end.reason == v1.StreamEnd.REASON_SLOW_CONSUMER
        assert not screen.finished
        screen.reconnect()
        await patiently(screen.follow(caller.watch(run.id, after_sequence=end.resume_after_sequence)))
        assert screen.events == (await caller.log(run.id))[1:]


async def test_stalled_watchers_cost_bounded_memory(server_process: ServerProcess) -> None:
    await server_process.start()
    async with calling(server_process.address) as caller:
        agent = await caller.agent("scripted/echo")
        runs = [await caller.runs.CreateMessageAsync(_big_request(agent)) for _ in range(3)]
        for run in runs:
            await caller.ended(run.id)
        process = psutil.Process(server_process.pid)
        before = process.memory_info().rss
        # 20 watchers that read one frame and no more, of logs of 16 MB each: unbounded, they would hold 320 MB.
        stalled = [await _unread(caller, runs[n % 3].id) for n in range(20)]
        reader = await caller.send(await caller.agent("scripted/echo"), "others are served meanwhile")
        await patiently(Screen().follow(caller.watch(reader.id)))
        grown = process.memory_info().rss - before
        assert grown < 150e6, f"grew by {grown / 1e6:.0f} MB"
        for stream in stalled:
            stream.cancel()


async def test_a_stalled_watcher_of_a_growing_text_holds_up_nobody(serve: Serve) -> None:
    async with serve() as server, calling(server.grpc.address) as caller:
        run = await caller.send(await caller.agent(), script(words=100_000, chunk_words=200, first_delay_ms=50))
        stream = caller.watch(run.id, include_deltas=True)
        await patiently(anext(aiter(stream)))
        screen = Screen()
        await patiently(screen.follow(caller.watch(run.id, include_deltas=True)))
        assert (await caller.get(run.id)).status == v1.RUN_STATUS_COMPLETED
        late = Screen(1)
        await patiently(late.follow(stream))
        assert late.events == screen.events[1:]


async def test_a_request_is_accepted_and_watched_by_its_id_alone(gate: HeldCalls, caller: Caller) -> None:
    gate.release(3)
    accepted = await caller.runs.CreateMessageAsync(request(await caller.agent(), script(text=_WORDS)))
    screen = Screen()
    await patiently(screen.follow(caller.watch(accepted.id, include_deltas=True)))
    assert screen.events[-1].finished.run == await caller.get(accepted.id)
