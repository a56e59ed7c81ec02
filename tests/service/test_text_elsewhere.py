"""Text that one replica is writing, as watchers on another one see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial

import pytest

from sendoff import v1
from sendoff_server import app
from sendoff_server.runs import lookout
from sendoff_server.store.postgres import engine, hints
from sendoff_server.store.postgres.engine import PostgresStore
from tests.contract.databases import PostgresDatabase
from tests.faults.caller import Caller, Stream, calling, patiently, script
from tests.faults.gated import hold_calls
from tests.faults.run_log import Screen, check_log
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve
from tests.gateway.door import Event, knocking

WORDS = "one two three four"
CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sendoff hints'"


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    """Holds calls in front of every piece."""
    return hold_calls(monkeypatch, HeldCalls(lambda call, sent: True))


class Replicas:
    def __init__(self, serve: Serve, dsn: str, stack: AsyncExitStack) -> None:
        self._serve = serve
        self._dsn = dsn
        self._stack = stack

    async def started(self, **settings: object) -> tuple[app.Server, Caller]:
        server = await self._stack.enter_async_context(
            self._serve(database_url=self._dsn, http_address="127.0.0.1:0", **settings)
        )
        return server, await self._stack.enter_async_context(calling(server.grpc.address))

    async def callers(self) -> tuple[Caller, Caller]:
        """Where runs are accepted, and so executed, and elsewhere."""
        (_, here), (_, there) = await self.started(), await self.started()
        return here, there


@pytest.fixture
async def replicas(serve: Serve, postgres: PostgresDatabase, gate: HeldCalls) -> AsyncIterator[Replicas]:
    async with AsyncExitStack() as stack:
        yield Replicas(serve, postgres.dsn, stack)


async def _begun(gate: HeldCalls, caller: Caller, **told: object) -> v1.Run:
    run = await caller.send(await caller.agent(), script(**(told or {"text": WORDS})))
    await patiently(gate.held.get())
    return run


async def _write(gate: HeldCalls, pieces: int = 1) -> None:
    """Have so many more pieces written."""
    for _ in range(pieces):
        gate.release()
        await patiently(gate.held.get())


async def _until_text(screen: Screen, stream: Stream, text: str) -> None:
    """Show frames until exactly that is what is being written."""
    while list(screen.writing.values()) != [text]:
        screen.show(await patiently(anext(aiter(stream))))


async def test_it_is_seen_as_it_is_written(replicas: Replicas, gate: HeldCalls) -> None:
    here, there = await replicas.callers()
    run = await _begun(gate, here)
    screen, stream = Screen(), there.watch(run.id, include_deltas=True)
    for pieces, text in ((1, "one "), (1, "one two "), (2, WORDS)):
        await _write(gate, pieces)
        await _until_text(screen, stream, text)
    gate.release()
    await patiently(screen.follow(stream))
    check_log(await here.get(run.id), screen.events)


@pytest.mark.parametrize("position", [{}, {"latest": True}, {"snapshot": True}])
async def test_who_comes_late_gets_the_text_so_far_as_one_delta_that_replaces(
    replicas: Replicas, gate: HeldCalls, position: dict[str, bool]
) -> None:
    here, there = await replicas.callers()
    run = await _begun(gate, here)
    await _write(gate, 3)
    stream = there.watch(run.id, include_deltas=True, **position)
    delta = await patiently(_first_delta(stream))
    assert (delta.text, delta.replaces, delta.offset) == ("one two three ", True, 0)
    gate.release(2)
    await patiently(Screen().follow(there.watch(run.id)))


async def _first_delta(stream: Stream) -> v1.MessageDelta:
    async for frame in stream:
        if frame.HasField("delta"):
            return frame.delta
    raise AssertionError("there is none")


async def test_any_text_comes_as_it_is_written(replicas: Replicas, gate: HeldCalls) -> None:
    here, there = await replicas.callers()
    text = "\0 𝄞 " + "Grüße🌍" * 3_000
    run = await _begun(gate, here, text=text)
    screen, stream = Screen(), there.watch(run.id, include_deltas=True)
    await _write(gate, 3)
    await _until_text(screen, stream, text)
    gate.release()
    await patiently(screen.follow(stream))


async def test_text_of_an_answer_that_breaks_off_is_retracted_and_the_next_one_is_seen(
    replicas: Replicas, gate: HeldCalls
) -> None:
    here, there = await replicas.callers()
    error = {"kind": "overloaded", "after_chunks": 2, "attempts": 1, "retry_after_s": 0.01}
    run = await _begun(gate, here, text=WORDS, error=error)
    screen, stream = Screen(), there.watch(run.id, include_deltas=True)
    await _write(gate, 2)
    await _until_text(screen, stream, "one two ")
    await _write(gate, 2)
    await _until_text(screen, stream, "one ")
    assert [retracted.reason for retracted in screen.retracted] == ["MODEL_RETRY"]
    gate.release(5)
    await patiently(screen.follow(stream))


async def test_it_goes_on_where_another_replica_takes_the_run_over(
    serve: Serve, replicas: Replicas, gate: HeldCalls, postgres: PostgresDatabase
) -> None:
    """Whichever of the two others does."""
    gate.release(1_000)
    _, there = await replicas.started()
    await replicas.started()
    screen = Screen()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serve(database_url=postgres.dsn, drain_grace_s=0.0))
        here = await stack.enter_async_context(calling(server.grpc.address))
        run = await here.send(await here.agent(), script(words=400, delay_ms=5))
        stream = there.watch(run.id, include_deltas=True)
        while not screen.writing:
            screen.show(await patiently(anext(aiter(stream))))
    while not (screen.retracted and screen.writing):
        screen.show(await patiently(anext(aiter(stream))))
    await there.cancel(run.id)
    await patiently(screen.follow(stream))


async def test_it_goes_on_once_the_connection_for_hints_was_cut(
    replicas: Replicas, gate: HeldCalls, postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "RECONNECT_S", 0.01)
    here, there = await replicas.callers()
    run = await _begun(gate, here)
    screen, stream = Screen(), there.watch(run.id, include_deltas=True)
    for text in ("one ", "one two ", "one two three "):
        await _write(gate)
        await _until_text(screen, stream, text)
        postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sendoff hints'"
        )
    await _write(gate)
    gate.release()
    await patiently(screen.follow(stream))


async def test_without_hints_messages_come_as_a_whole(
    replicas: Replicas, gate: HeldCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "PostgresStore", partial(PostgresStore, sends_hints=False))
    here, there = await replicas.callers()
    run = await _begun(gate, here)
    screen, stream = Screen(), there.watch(run.id, include_deltas=True)
    gate.release(5)
    await patiently(screen.follow(stream))
    assert screen.deltas == 0
    check_log(await here.get(run.id), screen.events)


async def test_it_comes_by_hints_alone(replicas: Replicas, gate: HeldCalls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "POLL_S", 3_600.0)
    here, there = await replicas.callers()
    run = await _begun(gate, here)
    screen, stream = Screen(), there.watch(run.id, include_deltas=True)
    await _write(gate, 2)
    await _until_text(screen, stream, "one two ")
    gate.release(3)
    await patiently(screen.follow(stream))


async def test_a_stream_over_rest_tells_pieces_that_another_replica_writes(replicas: Replicas, gate: HeldCalls) -> None:
    (here, caller), (there, _) = await replicas.started(), await replicas.started()
    async with knocking(here) as door, knocking(there) as other_door:
        sent = {"input": script(text=WORDS), "background": True, "stream_tokens": True}
        path = f"/v1/agents/{await door.agent()}/messages/stream"
        first = asyncio.create_task(door.events(path, sent))
        await patiently(gate.held.get())
        (run,) = await caller.list_all()
        async with other_door.stream(f"/v1/runs/{run.id}/stream", {}) as events:
            said = ""
            for text in ("one ", "one two ", "one two three "):
                await _write(gate)
                while said != text:
                    said += await patiently(_next_piece(events))
            gate.release(2)
            await patiently(first)


async def _next_piece(events: AsyncIterator[Event]) -> str:
    async for event in events:
        if event.data["message_type"] == "assistant_message":
            return str(event.data["content"])
    raise AssertionError("there is none")
