"""Servers for the test of conversations by a model: calls and tools that hold, a clock by hand, and crashes.

A crash is the database as it is at that moment, and nothing else: it is copied whole, and the next life of the server
begins on the copy, while the old one goes on to its end where nobody looks. What the old one still does is not counted:
its models and tools stand still from then on.
"""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from sendoff import v1
from sendoff_server import app, assembly
from sendoff_server.loop.toolset import Toolbox
from sendoff_server.models import scripted
from sendoff_server.models.port import ModelCall
from sendoff_server.settings import ProviderSettings, Settings
from sendoff_server.tools.port import ToolCall, ToolResult, Tools, text_result
from tests.faults.caller import Caller, calling, script, seconds
from tests.fixtures.clock import ManualClock
from tests.fixtures.tools import ANY, KINDS
from tests.service.history_checks import faults_of_call

T = TypeVar("T")

PATIENCE_S = 20.0
"""Real time after which something is held to be blocked for ever."""
TOOL_TIMEOUT_S = 30.0
_READ, _SAME, _ONCE = v1.TOOL_EFFECT_READ_ONLY, v1.TOOL_EFFECT_IDEMPOTENT, v1.TOOL_EFFECT_ONCE
EFFECTS = {
    "look": _READ,
    "same": _SAME,
    "once": _ONCE,
    "risky": _ONCE,
    "careful": _READ,
    "fails": _ONCE,
    "breaks": _READ,
    "hangs": _ONCE,
    "hangs_reading": _READ,
}
ASKED_FOR = frozenset({"risky", "careful"})
"""Need an approval."""
SUMMARY = script(text="They have spoken.")
"""What the model is asked for a summary, in words that it knows."""
HOLD = "HOLD@"
"""With the number of a chunk: every call of the model for a message that says so is held there."""


def tools() -> list[v1.Tool]:
    return [
        v1.Tool(
            id=f"tool-{name}",
            name=name,
            type=v1.TOOL_TYPE_MCP,
            effect=effect,
            requires_approval=name in ASKED_FOR,
            json_schema=v1.JsonObject(json=ANY),
            timeout=seconds(TOOL_TIMEOUT_S),
        )
        for name, effect in EFFECTS.items()
    ]


class World:
    """What outlives the server: time, and what was seen of models and tools."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.faults: list[str] = []
        """What must not be and was."""
        self.made: Counter[str] = Counter()
        """How often each call of a tool was made, by its key and its call."""
        self.allowed_again: Counter[str] = Counter()
        """How often somebody said that a call is to be made again, by its id."""
        self.open = False
        """Nothing is held any more."""
        self.reached: Counter[str] = Counter()
        """What the examples have come to; for long runs, to see that they come to everything."""
        self._folder = folder
        self._numbers = itertools.count()
        self.life: Life
        self._ending: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        self.life = Life(self, self._new_folder())
        await self.life.begin()

    async def crash(self) -> None:
        """The server is gone; the next one has what was durable."""
        old, folder = self.life, self._new_folder()
        old.dead = True
        with (
            closing(sqlite3.connect(old.folder / "sendoff.db")) as source,
            closing(sqlite3.connect(folder / "sendoff.db")) as copy,
        ):
            source.backup(copy)
        self._ending.append(asyncio.create_task(old.end()))
        self.reached["crash"] += 1
        if old.held:
            self.reached["crash while something is held"] += 1
        self.life = Life(self, folder)
        await self.life.begin()

    async def end(self) -> None:
        await self.life.end()
        await asyncio.gather(*self._ending)

    def _new_folder(self) -> Path:
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        return folder

    # ---- what lives report ----

    def asked(self, call: ModelCall) -> None:
        self.faults += faults_of_call(call)

    def calls(self, call: ToolCall) -> None:
        name = f"{call.key} {call.call_id}"
        self.made[name] += 1
        if call.tool.effect == _ONCE and self.made[name] > 1 + self.allowed_again[call.call_id]:
            self.faults.append(f"{call.tool.name} was called {self.made[name]} times for {call.call_id}")

    # ---- time ----

    async def moving(self, doing: Coroutine[Any, Any, T]) -> T:
        """Its result, while time goes on a little."""
        task = asyncio.ensure_future(doing)
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not task.done():
                    await self.clock.advance(0.003)
                    await asyncio.wait((task,), timeout=0.002)
        finally:
            task.cancel()
        return await task

    async def settled(self, agent_id: str) -> None:
        """Wait until nothing goes on by itself: each run is held, waits for its turn, or waits for answers."""
        began, before, step_s = time.monotonic(), None, 0.003
        while True:
            active = await self.life.caller.list_all(agent_id=agent_id, active=True)
            self._check_lanes(active)
            pending = await self.pending(agent_id)
            now = [(run.id, run.last_sequence, run.phase) for run in active], len(self.life.held)
            if now == before and not (stuck := self._moving(active, pending)):
                return
            before = now
            spent_s = time.monotonic() - began
            assert spent_s < PATIENCE_S, f"blocked: {stuck}"
            step_s = 0.003 if spent_s < 0.3 else 0.1
            await self.clock.advance(step_s)
            await asyncio.sleep(0.001)  # threads of the store are at work
            self.life.check_alive()

    async def pending(self, agent_id: str, **filters: Any) -> list[v1.PendingAction]:
        ask = v1.ListPendingActionsRequest(agent_id=agent_id, page_size=1000, **filters)
        return list((await self.life.caller.actions.ListPendingActions(ask, timeout=PATIENCE_S)).actions)

    def _check_lanes(self, active: Sequence[v1.Run]) -> None:
        running = Counter(run.conversation_id for run in active if run.status == v1.RUN_STATUS_RUNNING)
        self.faults += [f"{lane!r} has {number} runs at once" for lane, number in running.items() if number > 1]

    def _moving(self, active: Sequence[v1.Run], pending: Sequence[v1.PendingAction]) -> list[v1.Run]:
        """Runs that will go on by themselves, or that nothing will ever move."""
        held = set(self.life.held.values())
        lanes: dict[str, list[v1.Run]] = defaultdict(list)
        for run in active:
            lanes[run.conversation_id].append(run)
        waiting_for_answers = {action.conversation_id for action in pending if action.HasField("expire_time")}
        moving: list[v1.Run] = []
        for lane, runs in lanes.items():
            running = [run for run in runs if run.status == v1.RUN_STATUS_RUNNING]
            moving += [run for run in running if run.id not in held and run.phase != v1.RUN_PHASE_BACKING_OFF]
            if running:
                continue
            waits = any(run.labels["when_pending"] == "ENQUEUE" and not run.continues_run_id for run in runs)
            if not waits or lane not in waiting_for_answers:
                moving += runs
        return moving


class Life:
    """One life of the server, with its models, its tools and a caller."""

    def __init__(self, world: World, folder: Path) -> None:
        self.folder = folder
        self.dead = False
        self.held: dict[asyncio.Event, str] = {}
        """What is held, with the run that it belongs to; oldest first."""
        self.caller: Caller
        self._world = world
        self._over = asyncio.Event()
        self._ready: asyncio.Future[Caller] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        self._task = asyncio.create_task(self._live())
        await asyncio.wait((self._task, self._ready), return_when=asyncio.FIRST_COMPLETED)
        self.check_alive()
        self.caller = await self._ready

    async def end(self) -> None:
        self.dead = True
        self._over.set()
        assert self._task is not None
        await self._task

    def check_alive(self) -> None:
        assert self._task is not None
        if self._task.done():
            self._task.result()
            raise AssertionError("the server has ended by itself")

    async def _live(self) -> None:
        settings = Settings(
            http_address="off",
            grpc_address="127.0.0.1:0",
            data_dir=self.folder,
            database_url="",
            mcp_servers_file="",
            scripted_model=True,
            default_model="scripted/script",
            drain_grace_s=0,
            sqlite_synchronous="NORMAL",
            allow_approve_on_timeout=True,
            max_queued_per_conversation=8,
        )
        async with AsyncExitStack() as stack:
            with self._furnished():
                running = app.running(settings, ProviderSettings.model_construct(), self._world.clock)
                server = await stack.enter_async_context(running)
            self._ready.set_result(await stack.enter_async_context(calling(server.grpc.address)))
            await self._over.wait()
            server.grpc.stop_grace_s = 0

    @contextmanager
    def _furnished(self) -> Iterator[None]:
        """Servers that are started inside have this life's models and tools."""
        bench = _Bench(self)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(assembly, "toolbox_of", lambda *_: bench)
            patch.setattr(assembly, "callers_of", lambda *_: dict.fromkeys(KINDS, bench))
            patch.setattr(scripted, "ScriptedModels", partial(scripted.ScriptedModels, gate=self._gate))
            yield

    # ---- what is held ----

    async def _gate(self, call: ModelCall, sent: int) -> None:
        await self._stand_still()
        if sent == 0:
            self._world.asked(call)
        if call.system != SUMMARY and f"{HOLD}{sent}" in scripted.last_user_text(call.messages):
            await self.hold(call.run_id)

    async def called(self, call: ToolCall) -> ToolResult:
        await self._stand_still()
        self._world.calls(call)
        name = call.tool.name
        if name.startswith("hangs"):
            await self.hold(call.run_id)
        if name == "breaks":
            raise RuntimeError("this tool breaks")
        return text_result(f"{name} has done it", is_error=name == "fails")

    async def _stand_still(self) -> None:
        if self.dead:
            await asyncio.Event().wait()

    async def hold(self, run_id: str) -> None:
        if self._world.open:
            return
        event = asyncio.Event()
        self.held[event] = run_id
        try:
            await event.wait()
        finally:
            del self.held[event]
        await self._stand_still()

    def release(self, number: int) -> None:
        """Let so many go on, the oldest first."""
        for event in list(self.held)[:number]:
            event.set()


class _Bench(Tools, Toolbox):
    """The tools of one life."""

    def __init__(self, life: Life) -> None:
        self._life = life

    async def tools_of(self, tenant: str, agent: v1.Agent) -> Sequence[v1.Tool]:
        return tools()

    async def call(self, call: ToolCall) -> ToolResult:
        return await self._life.called(call)
