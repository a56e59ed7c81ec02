"""`kill -9` at each point of a step: the run ends right, and a tool that may run once runs at most once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sendoff import v1
from tests.faults.caller import Caller, calling, script
from tests.faults.run_log import Screen, check_log
from tests.fixtures.server import ServerProcess

DONE = v1.STOP_REASON_END_TURN
DOUBT = v1.STOP_REASON_TOOL_OUTCOME_UNKNOWN
LOOK: dict[str, Any] = {"text": "Let me see.", "chunk_words": 1, "tool_calls": [{"name": "look"}]}
STEPS = [LOOK, {"text": "There are seven."}]
ONCE, AGAIN = v1.TOOL_EFFECT_ONCE, v1.TOOL_EFFECT_IDEMPOTENT


class Subject:
    """A server that has a tool and is killed where it stops."""

    def __init__(self, server: ServerProcess, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = server
        self._file = file
        self._monkeypatch = monkeypatch
        server.module = "tests.faults.stopping_server"
        monkeypatch.setenv("SUBJECT_TOOL_FILE", str(file))

    @property
    def lines(self) -> list[str]:
        """What the tool has done."""
        return self._file.read_text().splitlines() if self._file.exists() else []

    @asynccontextmanager
    async def killed_at(
        self, point: str, effect: v1.ToolEffect.ValueType, steps: list[dict[str, Any]]
    ) -> AsyncIterator[tuple[Caller, v1.Run, Screen]]:
        """The server again, after it was killed at that point of a run."""
        self._monkeypatch.setenv("SUBJECT_STOP", point)
        self._monkeypatch.setenv("SUBJECT_TOOL_EFFECT", v1.ToolEffect.Name(effect))
        await self.server.start()
        async with calling(self.server.address) as caller:
            run = await caller.send(await caller.agent(), script(steps=steps))
            screen = Screen()
            watching = asyncio.create_task(screen.follow(caller.watch(run.id, include_deltas=True)))
            await self.server.logged("stopped here")
            await self.server.kill()
            await asyncio.gather(watching, return_exceptions=True)
            self._monkeypatch.delenv("SUBJECT_STOP")
            await self.server.start()
            yield caller, run, screen


@pytest.fixture
def subject(server_process: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    return Subject(server_process, tmp_path / "done by the tool", monkeypatch)


def left_open(messages: list[v1.Message]) -> set[str]:
    """Calls without a return."""
    made = {call.tool_call_id for message in messages for call in message.tool_call_message.tool_calls}
    return made - {each.tool_call_id for message in messages for each in message.tool_return_message.tool_returns}


POINTS = [
    ("commit before step_started", ONCE, DONE, 1),
    ("model 0 0", ONCE, DONE, 1),
    ("model 0 2", ONCE, DONE, 1),
    ("commit before tool_call_started", ONCE, DONE, 1),
    ("commit after tool_call_started", ONCE, DOUBT, 0),
    ("tool before", ONCE, DOUBT, 0),
    ("tool before", AGAIN, DONE, 1),
    ("tool after", ONCE, DOUBT, 1),
    ("tool after", AGAIN, DONE, 2),
    ("commit before tool_call_finished", ONCE, DOUBT, 1),
    ("commit after tool_call_finished", ONCE, DONE, 1),
    ("model 1 0", ONCE, DONE, 1),
    ("model 1 2", ONCE, DONE, 1),
    ("commit before finished", ONCE, DONE, 1),
    ("commit after finished", ONCE, DONE, 1),
]


RETRACTS = {
    "model 0 0",
    "model 0 2",
    "commit before tool_call_started",
    "model 1 0",
    "model 1 2",
    "commit before finished",
}
"""Where an answer was under way that had been announced."""


@pytest.mark.parametrize(
    ("point", "effect", "reason", "times"),
    POINTS,
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_a_run_that_was_killed_ends_right(
    point: str, effect: v1.ToolEffect.ValueType, reason: v1.StopReason.ValueType, times: int, subject: Subject
) -> None:
    async with subject.killed_at(point, effect, STEPS) as (caller, run, screen):
        run = await caller.ended(run.id)
        assert (run.status, run.stop_reason) == (v1.RUN_STATUS_COMPLETED, reason), run
        log = await caller.log(run.id)
        check_log(run, log)
        messages = await caller.messages(run.id)
        assert [event.message for event in log if event.HasField("message")] == messages
        assert {action.tool_call_id for action in run.pending_actions} == left_open(messages)
        assert bool(run.pending_actions) == (reason == DOUBT)
        assert len(subject.lines) == times
        assert len(set(subject.lines)) <= 1, "a call that is made again has the same key"
        gone = [event.message_retracted.reason for event in log if event.HasField("message_retracted")]
        assert gone == (["SERVER_RESTARTED"] if point in RETRACTS else [])
        if not screen.finished:
            screen.reconnect()
            await screen.follow(caller.watch(run.id, after_sequence=screen.last_sequence, include_deltas=True))
        assert screen.events == log
        following = await caller.ended((await caller.send(run.agent_id, script(text="And on."))).id)
        assert following.stop_reason == DONE
        assert not left_open([*messages, *await caller.messages(following.id)])
        assert len(subject.lines) == times, "called again though nobody said so"


async def test_a_doubt_is_shown_and_the_known_returns_with_it(subject: Subject) -> None:
    both = {"tool_calls": [{"name": "quick"}, {"name": "look"}]}
    async with subject.killed_at("commit after tool_call_finished", ONCE, [both, STEPS[1]]) as (caller, run, _):
        run = await caller.ended(run.id)
        assert (run.status, run.stop_reason) == (v1.RUN_STATUS_COMPLETED, DOUBT)
        messages = await caller.messages(run.id)
        quick, look = messages[1].tool_call_message.tool_calls
        (action,) = run.pending_actions
        assert (action.kind, action.call) == (v1.ACTION_KIND_RESOLVE_UNKNOWN_OUTCOME, look)
        (known,) = messages[2].tool_return_message.tool_returns
        assert (known.tool_call_id, known.tool_return.text) == (quick.tool_call_id, "quick")
        following = await caller.ended((await caller.send(run.agent_id, script(text="And on."))).id)
        (doubt,) = (await caller.messages(following.id))[1].tool_return_message.tool_returns
        assert doubt.tool_call_id == look.tool_call_id
        assert "nobody knows whether it was carried out" in doubt.tool_return.text
    assert len(subject.lines) == 1
