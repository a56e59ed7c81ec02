"""How one MCP server is kept connected: when it is wanted, after failures, and while it changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sendoff import v1
from sendoff_server.tools.mcp import link as link_module
from sendoff_server.tools.mcp.config import from_json
from sendoff_server.tools.mcp.failures import ConnectionLost, NotSent, ServerFailed
from sendoff_server.tools.mcp.link import FIRST_PAUSE_S, LOOK_AGAIN_S, MAX_CALLS, Hooks, Link, Session
from sendoff_server.tools.mcp.listing import Offer
from sendoff_server.tools.port import ToolListener, ToolResult, text_result
from tests.fixtures.clock import ManualClock
from tests.fixtures.mcp_servers import Listened

CONFIG = from_json('{"mcpServers": {"s": {"command": "x"}}}', {})["s"]


class FakeServer(Session):
    """A server of this process, each of whose lives can be ended."""

    def __init__(self) -> None:
        self.opened = 0
        self.closed = 0
        self.broken = False
        self.names = ["a"]
        self.list_fails = False
        self.lists = 0
        self.outcomes: list[Exception] = []
        self.under_way = 0
        self.most_under_way = 0
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.hooks: Hooks | None = None

    @asynccontextmanager
    async def dial(self, hooks: Hooks) -> AsyncIterator[Session]:
        self.opened += 1
        self.hooks = hooks
        if self.broken:
            hooks.told("it says why")
            raise OSError(2, "No such file")
        try:
            yield self
        finally:
            self.closed += 1

    async def list(self) -> Offer:
        self.lists += 1
        if self.list_fails:
            raise ServerFailed("no list")
        return Offer({name: v1.Tool(name=name) for name in self.names})

    async def call(self, tool: str, arguments: Mapping[str, Any], key: str | None) -> ToolResult:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.go_on.wait()
            if self.outcomes:
                raise self.outcomes.pop(0)
            return text_result(f"{tool} {dict(arguments)} {key}")
        finally:
            self.under_way -= 1


@asynccontextmanager
async def linked(server: FakeServer, clock: ManualClock, listener: ToolListener | None = None) -> AsyncIterator[Link]:
    link = Link("s", CONFIG, server.dial, clock, listener)
    running = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        running.cancel()
        await asyncio.wait((running,))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_nothing_is_connected_before_it_is_wanted_and_then_once_for_all(
    server: FakeServer, clock: ManualClock
) -> None:
    async with linked(server, clock) as link:
        await settled()
        assert server.opened == 0
        results = await asyncio.gather(*(link.call("a", {"n": n}, "k") for n in range(3)))

    assert [result.content.text for result in results] == [f"a {{'n': {n}}} k" for n in range(3)]
    assert (server.opened, server.closed) == (1, 1)


async def test_within_the_pause_after_a_failure_nobody_is_kept_waiting_and_then_it_is_tried_again(
    server: FakeServer, clock: ManualClock
) -> None:
    server.broken = True
    async with linked(server, clock) as link:
        for _ in range(3):
            with pytest.raises(ServerFailed, match="cannot be started: No such file"):
                await link.call("a", {}, None)
        assert server.opened == 1
        assert link.last_words == ("it says why",)

        await clock.advance(FIRST_PAUSE_S)
        with pytest.raises(ServerFailed):
            await link.call("a", {}, None)
        assert server.opened == 2

        server.broken = False
        await clock.advance(FIRST_PAUSE_S)  # the pause has grown
        with pytest.raises(ServerFailed):
            await link.call("a", {}, None)
        await clock.advance(FIRST_PAUSE_S)
        assert not (await link.call("a", {}, None)).is_error
        assert (server.opened, link.failure) == (3, "")


async def test_a_connection_that_ends_is_opened_again_by_the_next_call(server: FakeServer, clock: ManualClock) -> None:
    async with linked(server, clock) as link:
        await link.call("a", {}, None)
        assert server.hooks is not None
        server.hooks.ended()

        await link.call("a", {}, None)

        assert (server.opened, server.closed) == (2, 1)


async def test_a_call_that_was_not_sent_is_made_again_on_a_new_connection_but_only_once(
    server: FakeServer, clock: ManualClock
) -> None:
    async with linked(server, clock) as link:
        server.outcomes = [NotSent("gone")]
        assert not (await link.call("a", {}, None)).is_error
        assert server.opened == 2

        server.outcomes = [NotSent("gone"), NotSent("gone"), NotSent("gone")]
        with pytest.raises(NotSent):
            await link.call("a", {}, None)
        assert len(server.outcomes) == 1


async def test_a_call_that_was_lost_is_never_made_again(server: FakeServer, clock: ManualClock) -> None:
    async with linked(server, clock) as link:
        server.outcomes = [ConnectionLost("broke"), ConnectionLost("broke")]
        with pytest.raises(ConnectionLost):
            await link.call("a", {}, None)

        assert len(server.outcomes) == 1


async def test_calls_beyond_the_bound_wait_for_their_turn(server: FakeServer, clock: ManualClock) -> None:
    server.go_on.clear()
    async with linked(server, clock) as link:
        calls = [asyncio.create_task(link.call("a", {}, None)) for _ in range(MAX_CALLS + 5)]
        await settled()
        assert server.under_way == MAX_CALLS
        server.go_on.set()
        await asyncio.gather(*calls)

    assert server.most_under_way == MAX_CALLS


async def test_the_list_is_looked_at_again_in_time_even_if_nobody_tells_of_a_change(
    server: FakeServer, clock: ManualClock
) -> None:
    listened = Listened()
    async with linked(server, clock, listened) as link:
        await link.fresh_offer()
        server.names = ["a", "b"]
        await clock.advance(LOOK_AGAIN_S)
        await listened.heard("s", "b")
        await clock.advance(LOOK_AGAIN_S)
        await settled()

    assert listened.told == [("s", ["a"]), ("s", ["a", "b"])]  # and not told again when nothing changed
    assert server.lists == 3


async def test_a_server_that_cannot_list_any_more_is_given_up_unless_calls_keep_it_busy(
    server: FakeServer, clock: ManualClock
) -> None:
    async with linked(server, clock) as link:
        await link.fresh_offer()
        server.list_fails = True
        server.go_on.clear()
        call = asyncio.create_task(link.call("a", {}, None))
        await settled()
        await clock.advance(LOOK_AGAIN_S)
        await settled()
        assert (server.lists, server.closed) == (2, 0)

        server.go_on.set()
        await call
        await clock.advance(LOOK_AGAIN_S)
        await settled()
        assert (server.lists, server.closed) == (3, 1)
        assert list(link.offer.tools) == ["a"]  # as it last answered


async def test_a_cancelled_call_has_the_server_looked_at_because_it_may_hang_as_a_whole(
    server: FakeServer, clock: ManualClock
) -> None:
    server.go_on.clear()
    async with linked(server, clock) as link:
        call = asyncio.create_task(link.call("a", {}, None))
        await settled()
        call.cancel()
        await settled()

        assert server.lists == 2


async def test_a_listener_that_fails_does_no_harm_and_is_told_again(server: FakeServer, clock: ManualClock) -> None:
    class Failing(ToolListener):
        told = 0

        async def listed(self, server: str, tools: Sequence[v1.Tool]) -> None:
            self.told += 1
            raise RuntimeError("the store is away")

    failing = Failing()
    async with linked(server, clock, failing) as link:
        assert not (await link.call("a", {}, None)).is_error
        await clock.advance(LOOK_AGAIN_S)
        await settled()

    assert failing.told == 2


async def test_a_server_that_never_shakes_hands_is_given_up(
    server: FakeServer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "CONNECT_TIMEOUT_S", 0.01)

    @asynccontextmanager
    async def dial(hooks: Hooks) -> AsyncIterator[Session]:
        await asyncio.Event().wait()
        yield server

    server.dial = dial  # type: ignore[method-assign]
    async with linked(server, clock) as link:
        with pytest.raises(ServerFailed, match="did not answer within"):
            await link.fresh_offer()


async def test_whoever_waits_when_the_server_stops_is_told_so(server: FakeServer, clock: ManualClock) -> None:
    @asynccontextmanager
    async def dial(hooks: Hooks) -> AsyncIterator[Session]:
        await asyncio.Event().wait()
        yield server

    server.dial = dial  # type: ignore[method-assign]
    async with linked(server, clock) as link:
        waiting = asyncio.create_task(link.call("a", {}, None))
        await settled()

    with pytest.raises(ServerFailed, match="is stopping"):
        await waiting
    with pytest.raises(ServerFailed, match="is stopping"):
        await link.call("a", {}, None)


async def test_a_tool_that_is_not_there_any_more_is_not_called(server: FakeServer, clock: ManualClock) -> None:
    async with linked(server, clock) as link:
        with pytest.raises(ServerFailed, match="no tool 'z' any more"):
            await link.call("z", {}, None)
