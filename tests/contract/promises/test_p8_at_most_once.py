"""P8. A tool that may run once runs at most once; when in doubt the doubt is shown, not repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.promises.doors import Open, calls_of, gives, returns_of
from tests.faults.caller import patiently, script
from tests.fixtures.server import ServerProcess

STEPS = [{"tool_calls": [{"name": "look"}]}, {"text": "There are seven."}]


@pytest.mark.parametrize(
    ("point", "effect", "times"),
    [("tool before", "ONCE", 0), ("tool after", "ONCE", 1), ("tool after", "IDEMPOTENT", 2)],
)
async def test_a_call_that_was_under_way_at_kill_9_is_made_again_only_if_its_tool_says_that_this_is_safe(
    server_process: ServerProcess,
    opened: Open,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    effect: str,
    times: int,
) -> None:
    done = tmp_path / "done by the tool"
    server_process.module, server_process.http_address = "tests.faults.stopping_server", "127.0.0.1:0"
    monkeypatch.setenv("SUBJECT_TOOL_FILE", str(done))
    monkeypatch.setenv("SUBJECT_TOOL_EFFECT", f"TOOL_EFFECT_{effect}")
    monkeypatch.setenv("SUBJECT_STOP", point)
    await server_process.start()
    async with opened(server_process.address, server_process.http_address) as door:
        agent = await door.agent()
        run_id = (await door.send(agent, script(steps=STEPS))).run_id
        await server_process.logged("stopped here")
        await server_process.kill()
    monkeypatch.delenv("SUBJECT_STOP")
    await server_process.start()
    async with opened(server_process.address, server_process.http_address) as door:
        ended = await patiently(door.ended(run_id))
        lines = done.read_text().splitlines() if done.exists() else []
        assert (ended["status"], len(lines), len(set(lines))) == ("completed", times, min(times, 1))
        made = calls_of(await door.entries(run_id))
        if effect == "ONCE":  # the doubt is an action; whoever knows the outcome tells it
            assert await door.pending(agent) == made
            answered = (await door.answer(agent, gives(made[0], "seven, I looked"))).run_id
            assert (await patiently(door.ended(answered)))["stop_reason"] == "end_turn"
            assert returns_of(await door.entries(answered)) == {made[0]: "success"}
        assert await door.pending(agent) == []
        assert len(done.read_text().splitlines() if done.exists() else []) == times
