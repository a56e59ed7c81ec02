"""Conversations in which anybody may do anything at any time: something legal always comes of it, and it always ends.

Messages, answers, cancels, time-outs, crashes, forks, compactions, resets and deletes in any order, alone or several at
once, over a real server. Nothing is foretold; what must be so is looked at after each rule and at the end, see
`faults_of_history`, `World` and `Conversation.finish`.

`SENDOFF_MODEL_EXAMPLES=500 pytest tests/service/test_conversation_model.py -s` tries so many longer examples, at
random, and tells what they came to. With `SENDOFF_MODEL_SHRINK=1` what fails is made smaller, which takes minutes.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import tempfile
from collections import Counter
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from sendoff import v1
from sendoff_server.context import summary
from tests.faults.caller import script
from tests.faults.run_log import TERMINAL, check_log
from tests.service.conversation_acts import (
    Act,
    Crash,
    Lane,
    Later,
    Moment,
    Scene,
    Together,
    listed,
    look_what_is_deleted,
    moments,
    perform,
)
from tests.service.conversation_world import SUMMARY, World
from tests.service.history_checks import folded, is_rolled_back_with_its_run, left_open

T = TypeVar("T")

EXAMPLES = int(os.environ.get("SENDOFF_MODEL_EXAMPLES", "0"))
"""0: those of the suite, which are always the same."""
SHRINK = bool(os.environ.get("SENDOFF_MODEL_SHRINK"))
WEEK_S = 8 * 24 * 3_600.0
OURS = {"INTERNAL", "RESULT_NOT_STORABLE", "TOO_MANY_ATTEMPTS"}
"""Errors of a run that are a fault of the server."""


class Conversation:
    """One example: a loop, a world with a server in it, an agent with two conversations."""

    reached: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.world = World(Path(self.folder.name))
        self.has_failed = False
        self.logging = capture_logs()  # tools that break would fill the screen
        self.logging.__enter__()
        self.asking = pytest.MonkeyPatch()
        self.asking.setattr(summary, "prompt", lambda _: SUMMARY)
        self.scene: Scene
        self.wait(self._begin())

    async def _begin(self) -> None:
        await self.world.begin()
        caller = self.world.life.caller
        agent = await caller.agent()
        self.scene = Scene(self.world, agent, [Lane(), Lane(await caller.conversation(agent))])

    def wait(self, doing: Coroutine[Any, Any, T]) -> T:
        """Its result, while time goes on; then nothing goes on by itself any more, and all is as it must be."""

        async def done() -> T:
            told = await self.world.moving(doing)
            if hasattr(self, "scene"):
                await self.world.settled(self.scene.agent)
            return told

        try:
            told = self.loop.run_until_complete(done())
            assert not self.world.faults, "\n".join(self.world.faults)
        except BaseException:
            self.has_failed = True
            raise
        return told

    def teardown(self) -> None:
        try:
            if not self.has_failed:
                self.wait(self.finish())
        finally:
            self.loop.run_until_complete(self.world.end())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
            self.folder.cleanup()
            self.logging.__exit__(None, None, None)
            self.asking.undo()
            Conversation.reached.update(self.world.reached)

    @classmethod
    def tell(cls) -> None:
        print(*sorted(cls.reached.items()), sep="\n")

    # -- rules --

    def moment(self, wanted: Moment) -> None:
        self.wait(self._live_through(wanted))

    async def _live_through(self, wanted: Moment) -> None:
        match wanted:
            case Together(acts):
                await asyncio.gather(*(perform(self.scene, act, alone=False) for act in acts))
            case Later(seconds):
                await self._later(seconds)
            case Crash(acts, pauses):
                await self._crash(acts, pauses)
            case act:
                await perform(self.scene, act, alone=True)

    async def _later(self, seconds: float) -> None:
        await self.world.clock.advance(seconds)
        for _ in range(2):  # what is overdue is looked for once a second
            await self.world.settled(self.scene.agent)
            await self.world.clock.advance(1.1)

    async def _crash(self, together: Sequence[Act], pauses: int) -> None:
        """In the middle of these acts. Whoever has no answer then never gets one."""
        doing = [asyncio.create_task(perform(self.scene, act, alone=False)) for act in together]
        for _ in range(pauses):
            await asyncio.sleep(0)
        for task in doing:
            task.cancel()
        crashing = asyncio.create_task(self.world.crash())
        await asyncio.gather(*doing, return_exceptions=True)
        await crashing
        await look_what_is_deleted(self.scene)

    # -- the end --

    async def finish(self) -> None:
        """Beyond all deadlines all is over, every conversation can be gone on with, and tells what was."""
        scene, caller = self.scene, self.world.life.caller
        self.world.open = True
        for _ in range(12):
            self.world.life.release(1000)
            await self._later(WEEK_S)
            if not await caller.list_all(agent_id=scene.agent, active=True):
                break
        assert not await caller.list_all(agent_id=scene.agent, active=True)
        for lane in scene.lanes:
            if not lane.deleted:
                run = await caller.send(
                    scene.agent, script(text="And on."), conversation_id=lane.conversation_id or None
                )
                await self.world.settled(scene.agent)
                ended = await caller.get(run.id)
                assert ended.stop_reason == v1.STOP_REASON_END_TURN, ended
        assert await self.world.pending(scene.agent) == []
        logs = await self._logs()
        for lane in scene.lanes:
            if not lane.deleted:
                await self._check_messages(lane, logs)

    async def _logs(self) -> dict[str, tuple[v1.Run, list[v1.RunEvent]]]:
        logs = {}
        for run in await self.world.life.caller.list_all(agent_id=self.scene.agent):
            log = await self.world.life.caller.log(run.id)
            assert run.status in TERMINAL
            assert run.error.reason not in OURS, run
            check_log(_as_it_ended(run, log), log)
            assert left_open(log) == "", run
            logs[run.id] = (run, log)
            self.world.reached[v1.StopReason.Name(run.stop_reason)] += 1
            self.world.reached[f"{run.attempt} attempts"] += 1
        return logs

    async def _check_messages(self, lane: Lane, logs: dict[str, tuple[v1.Run, list[v1.RunEvent]]]) -> None:
        found = await listed(self.scene, lane)
        told = folded(log for run, log in logs.values() if run.conversation_id == lane.conversation_id)
        shown = {entry.otid: entry for entry in found}
        expected = []
        for entry in told:
            if entry.otid in shown or not self._may_be_rolled_back(logs[entry.run_id][0], entry):
                expected.append(entry)
            else:
                self.world.reached["rolled back"] += 1
        wanted = [*lane.inherited, *expected]
        assert [_named(entry) for entry in found] == [_named(entry) for entry in wanted], [
            _told(run) for run, _ in logs.values()
        ]
        for entry, other in zip(found, wanted, strict=True):
            assert entry == other
        kept = {entry.run_id for entry in expected if is_rolled_back_with_its_run(entry)}
        for run_id in kept & self.scene.surely_rolled_back:
            run = logs[run_id][0]
            assert run.status != v1.RUN_STATUS_CANCELLED, f"was not rolled back: {run}"

    def _may_be_rolled_back(self, run: v1.Run, entry: v1.Message) -> bool:
        wanted = run.id in self.scene.rolled_back or run.conversation_id in self.scene.rolled_back_in
        wanted = wanted and run.status == v1.RUN_STATUS_CANCELLED
        return wanted and is_rolled_back_with_its_run(entry)


def _as_it_ended(run: v1.Run, log: Sequence[v1.RunEvent]) -> v1.Run:
    """Without what became of its actions afterwards, which is all that may change."""
    before = v1.Run()
    before.CopyFrom(run)
    then = log[-1].finished.run
    before.etag = then.etag
    before.ClearField("continued_by_run_id")
    before.ClearField("pending_actions")
    before.pending_actions.extend(then.pending_actions)
    return before


def _told(run: v1.Run) -> str:
    return f"{run.id} in {run.conversation_id!r}: {v1.StopReason.Name(run.stop_reason)}"


def _named(entry: v1.Message) -> str:
    return f"{entry.WhichOneof('kind')}@{entry.position} of {entry.run_id}"


if EXAMPLES:
    atexit.register(Conversation.tell)
STEPS = 30 if EXAMPLES else 18


@settings(
    max_examples=EXAMPLES or 12,
    deadline=None,
    derandomize=not EXAMPLES,
    database=None,
    phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if SHRINK else [])],
    suppress_health_check=list(HealthCheck),
)
@given(plan=st.lists(moments, min_size=STEPS, max_size=STEPS))
def test_conversations_keep_their_promises_whatever_happens(plan: Sequence[Moment]) -> None:
    """The plan is drawn before anything happens, so that it never depends on how long things take."""
    conversation = Conversation()
    try:
        for wanted in plan:
            conversation.moment(wanted)
    finally:
        conversation.teardown()
