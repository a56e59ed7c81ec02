"""Help: what a command does, and examples that work as they stand."""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sendoff import v1
from sendoff.cli.examples import EXAMPLES, lines
from sendoff.cli.exits import ExitCode
from tests.unit.client.commanding import COMPLETED, Command, commanding, finished
from tests.unit.client.lenient_server import LenientServer, lenient

NOT_RUN = {"callbacks listen"}
"""It goes on until it has received something."""


@pytest.fixture
async def lenient_server() -> AsyncIterator[LenientServer]:
    async with lenient() as server:
        waits = v1.PendingAction(run_id="run-1", tool_call_id="call-1")
        server.answer("RunService/GetRun", v1.Run(id="run-1", pending_actions=[waits]))
        server.answer("RunService/CreateMessageAsync", v1.Run(id="run-1"))
        server.answer("RunService/WaitRun", COMPLETED)
        end = v1.StreamEnd(reason=v1.StreamEnd.REASON_RUN_FINISHED, resume_after_sequence=1)
        server.answer("RunService/WatchRun", v1.WatchRunResponse(event=finished(1)), v1.WatchRunResponse(end=end))
        server.answer("ActionService/RespondToActions", v1.RespondToActionsResponse(run=v1.Run(id="run-2")))
        yield server


@pytest.fixture
def command(lenient_server: LenientServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    (tmp_path / "picture.png").write_bytes(b"png")
    (tmp_path / "tool.py").write_text("def f(): ...")
    (tmp_path / "notes.txt").write_text("Likes ships.")
    (tmp_path / "agent.json").write_text('{"agent": {"name": "helper"}}')
    monkeypatch.chdir(tmp_path)
    return commanding(lenient_server.address)


async def test_examples_work_as_they_stand(command: Command) -> None:
    for name, text in EXAMPLES.items():
        for line in lines(text):
            if name in NOT_RUN:
                continue
            outcome = await command(*words(line), stdin="text")

            assert outcome.exit_code in (ExitCode.OK, ExitCode.RUN_WAITS), (line, outcome)


def words(line: str) -> list[str]:
    """What our command is given in a line of a shell."""
    ours = re.split(r" \|\|? | 2> ", line[line.index("sendoff ") :])[0]
    return shlex.split(ours)[1:]


async def test_examples_stand_in_the_help_of_their_commands(command: Command) -> None:
    for name, text in EXAMPLES.items():
        told = (await command(*name.split(" "), "--help")).stdout

        assert "Examples:" in told, name
        for line in lines(text):
            assert line in told
            assert f"sendoff {name}" in line
