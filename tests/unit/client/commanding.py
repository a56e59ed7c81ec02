"""Runs the command against a scripted server, and runs for it to show."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from sendoff import v1
from sendoff.cli.app import app
from tests.unit.client.logs import run
from tests.unit.client.scripted_server import AGENT_ID, RUN_ID, ScriptedServer


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str


Command: TypeAlias = Callable[..., Awaitable[Outcome]]

ACCEPTED = run(v1.RunStatus.RUN_STATUS_CREATED)
COMPLETED = v1.Run(
    id=RUN_ID,
    agent_id=AGENT_ID,
    status=v1.RunStatus.RUN_STATUS_COMPLETED,
    stop_reason=v1.StopReason.STOP_REASON_END_TURN,
    ttft_ns=310_000_000,
    total_duration_ns=1_200_000_000,
    usage=v1.Usage(prompt_tokens=12, completion_tokens=3),
)
FAILED = v1.Run(
    id=RUN_ID,
    status=v1.RunStatus.RUN_STATUS_FAILED,
    stop_reason=v1.StopReason.STOP_REASON_LLM_API_ERROR,
    error=v1.RunError(reason="MODEL_UNAVAILABLE", message="the model is away"),
)
CANCELLED = run(v1.RunStatus.RUN_STATUS_CANCELLED)


def finished(sequence: int, ended: v1.Run = COMPLETED) -> v1.RunEvent:
    return v1.RunEvent(run_id=RUN_ID, sequence=sequence, finished=v1.RunFinished(run=ended))


@pytest.fixture
def command(server: ScriptedServer) -> Command:
    """Runs the command against the scripted server: `await command("get", RUN_ID)`."""
    return commanding(server.address)


def commanding(address: str) -> Command:
    """Runs the command against the server at this address."""

    async def ran(*words: str, stdin: str = "", before: tuple[str, ...] = ()) -> Outcome:
        return await asyncio.to_thread(invoke, ["--address", address, *before, *words], stdin)

    return ran


def invoke(words: list[str], stdin: str = "", **variables: str) -> Outcome:
    """Run the command in this process. Its tree is made once: that takes longer than most commands."""
    environment = {"SENDOFF_API_KEY": None, "COLUMNS": "200", **variables}
    with CliRunner().isolation(stdin, environment) as (stdout, stderr, _):
        code: Any = 0
        try:
            _tree().main(words, prog_name="sendoff")
        except SystemExit as ended:
            code = ended.code
        sys.stdout.flush()
        sys.stderr.flush()
        return Outcome(code or 0, stdout.getvalue().decode(), stderr.getvalue().decode())


@cache
def _tree() -> Any:
    return get_command(app)
