"""Runs the command against a scripted server, and runs for it to show."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

import pytest
from typer.testing import CliRunner

from sendoff import v1
from sendoff.cli.app import app
from tests.unit.client.logs import run
from tests.unit.client.scripted_server import AGENT_ID, RUN_ID, ScriptedServer


class Outcome(Protocol):
    """How a command ended; the runner's own class has no public name."""

    @property
    def exit_code(self) -> int: ...
    @property
    def stdout(self) -> str: ...
    @property
    def stderr(self) -> str: ...


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

    async def ran(*words: str, stdin: str = "", before: tuple[str, ...] = ()) -> Outcome:
        line = ["--address", server.address, *before, *words]
        environment = {"SENDOFF_API_KEY": None, "COLUMNS": "200"}
        return await asyncio.to_thread(CliRunner().invoke, app, line, input=stdin, env=environment)

    return ran
