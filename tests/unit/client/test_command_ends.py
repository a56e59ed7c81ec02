"""How the command ends: the outcome is in the exit code, and the last line says what to do."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from typing import Any

import grpc
import pytest

from sendoff import methods, v1
from sendoff.cli.exits import MEANINGS, ExitCode
from tests.unit.client.commanding import ACCEPTED, CANCELLED, COMPLETED, FAILED, Command, finished, invoke
from tests.unit.client.logs import delta, event, frames, run
from tests.unit.client.scripted_server import AGENT_ID, RUN_ID, Failure, ScriptedServer, Silence


@pytest.mark.parametrize(
    ("ended", "code"),
    [(COMPLETED, ExitCode.OK), (FAILED, ExitCode.RUN_FAILED), (CANCELLED, ExitCode.RUN_CANCELLED)],
    ids=["completed", "failed", "cancelled"],
)
@pytest.mark.parametrize("words", [("watch", RUN_ID), ("wait", RUN_ID), ("send", AGENT_ID, "Hi", "--wait")])
async def test_the_exit_code_tells_how_a_run_ended(
    command: Command, server: ScriptedServer, words: tuple[str, ...], ended: v1.Run, code: ExitCode
) -> None:
    server.plan(methods.CREATE_MESSAGE_ASYNC, ACCEPTED)
    server.plan(methods.WAIT_RUN, ended)
    server.plan(methods.LIST_RUN_MESSAGES, v1.ListRunMessagesResponse())
    server.plan_streams(frames(finished(1, ended)))

    outcome = await command(*words)

    assert outcome.exit_code == code
    assert ("the model is away" in outcome.stdout + outcome.stderr) == (ended is FAILED)


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (Failure(grpc.StatusCode.NOT_FOUND, "there is no run", "RUN_NOT_FOUND"), ExitCode.NOT_FOUND),
        (Failure(grpc.StatusCode.INVALID_ARGUMENT, reason="INVALID_REQUEST"), ExitCode.REFUSED),
        (Failure(grpc.StatusCode.FAILED_PRECONDITION, reason="UNSUPPORTED_FEATURE"), ExitCode.REFUSED),
        (Failure(grpc.StatusCode.UNAUTHENTICATED), ExitCode.REFUSED),
        (Failure(grpc.StatusCode.ABORTED, reason="CONVERSATION_BUSY"), ExitCode.CONFLICT),
        (Failure(grpc.StatusCode.ALREADY_EXISTS, reason="IDEMPOTENCY_MISMATCH"), ExitCode.CONFLICT),
        (Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, reason="QUEUE_FULL", retry_after_s=60), ExitCode.UNAVAILABLE),
        (Failure(grpc.StatusCode.UNAVAILABLE, reason="DRAINING", retry_after_s=60), ExitCode.UNAVAILABLE),
        (Failure(grpc.StatusCode.DEADLINE_EXCEEDED), ExitCode.TIMEOUT),
        (Failure(grpc.StatusCode.INTERNAL, reason="INTERNAL"), ExitCode.SERVER_FAULT),
    ],
    ids=lambda value: value.reason or value.code.name if isinstance(value, Failure) else value.name,
)
async def test_the_exit_code_tells_why_a_call_did_not_work(
    command: Command, server: ScriptedServer, failure: Failure, code: ExitCode
) -> None:
    server.plan(methods.GET_RUN, failure)

    outcome = await command("get", RUN_ID)

    assert (outcome.exit_code, outcome.stdout) == (code, "")
    assert re.fullmatch(r"error: [^\n]+\n", outcome.stderr)


async def test_a_wait_that_is_too_short_ends_with_its_own_code(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.CREATE_MESSAGE_ASYNC, ACCEPTED)
    server.plan(methods.WAIT_RUN, ACCEPTED, ACCEPTED)

    waited = await command("wait", RUN_ID, "--timeout", "0")
    sent = await command("send", AGENT_ID, "Hi", "--wait", "--timeout", "0")

    for outcome in (waited, sent):
        assert outcome.exit_code == ExitCode.TIMEOUT
        assert f"sendoff wait {RUN_ID}" in outcome.stderr


async def test_a_wait_for_the_start_is_over_when_the_run_has_started(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.WAIT_RUN, run(v1.RunStatus.RUN_STATUS_RUNNING))

    outcome = await command("wait", RUN_ID, "--until", "started")

    assert outcome.exit_code == ExitCode.OK
    assert server.requests[0].until == v1.WaitUntil.WAIT_UNTIL_STARTED


@pytest.mark.parametrize(
    "words",
    [
        ("send", AGENT_ID),
        ("send", AGENT_ID, "Hi", "--watch", "--wait"),
        ("send", AGENT_ID, "Hi", "--timeout", "1"),
        ("send", AGENT_ID, "Hi", "--label", "novalue"),
        ("send", AGENT_ID, "Hi", "--metadata", "[]"),
        ("send", AGENT_ID, "Hi", "--metadata", "{"),
        ("send", AGENT_ID, "Hi", "--image", "no-such-file.png"),
        ("send", AGENT_ID, "Hi", "--image", "README.md"),
        ("runs", "ls", "--status", "lost"),
        ("watch", RUN_ID, "--from", "-1"),
        ("watch", RUN_ID, "--plain", "--json"),
        ("send", AGENT_ID, "Hi", "--plain"),
        ("top", "--once", "--interval", "1"),
        ("nonsense",),
    ],
    ids=" ".join,
)
async def test_a_wrong_command_line_sends_nothing(
    command: Command, server: ScriptedServer, words: tuple[str, ...]
) -> None:
    outcome = await command(*words)

    assert outcome.exit_code == ExitCode.USAGE
    assert server.requests == []


def test_a_key_in_the_clear_is_a_wrong_command_line() -> None:
    outcome = invoke(["--address", "10.0.0.1:1", "--api-key", "k", "get", RUN_ID])

    assert outcome.exit_code == ExitCode.USAGE
    assert "in the clear" in outcome.stderr


async def test_the_key_is_taken_from_the_options(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.GET_RUN, COMPLETED)

    await command("get", RUN_ID, before=("--api-key", "sk-1"))

    assert server.metadata[0]["authorization"] == "Bearer sk-1"


async def test_the_time_of_a_call_is_taken_from_the_options(command: Command, server: ScriptedServer) -> None:
    async def never(request: Any, context: Any) -> v1.Run:
        await asyncio.Event().wait()
        return COMPLETED

    server.plan(methods.GET_RUN, never)

    outcome = await command("get", RUN_ID, before=("--timeout", "0.1"))

    assert outcome.exit_code == ExitCode.TIMEOUT


@pytest.mark.parametrize(("status", "code", "told"), [(1, 0, "serving"), (2, 1, "not serving")])
async def test_health_is_an_exit_code(
    command: Command, server: ScriptedServer, status: int, code: int, told: str
) -> None:
    answer = methods.CHECK_HEALTH.response(value=status)
    server.plan(methods.CHECK_HEALTH, answer, answer)

    plain, as_json = await command("health"), await command("health", "--json")

    assert (plain.exit_code, plain.stdout) == (code, told + "\n")
    assert (as_json.exit_code, json.loads(as_json.stdout)) == (code, {"serving": status == 1})


async def test_a_server_that_does_not_answer_is_not_serving(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.CHECK_HEALTH, Failure(grpc.StatusCode.UNAVAILABLE))

    outcome = await command("health")

    assert (outcome.exit_code, outcome.stdout) == (1, "not serving\n")
    assert "is it running?" in outcome.stderr
    assert len(server.requests) == 1


async def test_help_tells_every_exit_code(command: Command) -> None:
    outcome = await command("--help")

    for code, meaning in MEANINGS.items():
        assert f"{int(code):>3}  {meaning}" in outcome.stdout
    assert set(MEANINGS) == set(ExitCode)


async def test_ctrl_c_stops_the_watch_and_says_how_to_go_on(server: ScriptedServer) -> None:
    server.plan_streams([*frames(event(1), event(2), delta("m", "Hello")), Silence()])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sendoff", "--address", server.address, "watch", RUN_ID),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert await process.stdout.readuntil(b"Hello") == b"word 1\nword 2\nHello"
        process.send_signal(signal.SIGINT)
        _, told = await process.communicate()

    assert process.returncode == ExitCode.INTERRUPTED
    assert told.decode() == f"The run goes on. To watch it again: sendoff watch {RUN_ID} --from 2\n"
