"""What the shell offers to complete: commands, options, RPCs, and ids that the server knows."""

from __future__ import annotations

import asyncio
import os
import sys

import grpc
import pytest

from sendoff import methods, v1
from tests.unit.client.commanding import invoke
from tests.unit.client.scripted_server import Failure, ScriptedServer, serving

SHELLS = ("bash", "zsh", "fish")


def asking(address: str, line: str) -> dict[str, str]:
    """The variables by which bash asks for the last word of a line."""
    at = str(len(line.split(" ")) - 1)
    return {
        "SENDOFF_ADDRESS": address,
        "_SENDOFF_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": at,
    }


async def completed(address: str, line: str) -> tuple[list[str], str]:
    """The words that bash is offered for the last word of a line, and what is said beside them."""
    outcome = await asyncio.to_thread(invoke, [], **asking(address, line))
    return outcome.stdout.split(), outcome.stderr


async def test_ids_are_completed_from_the_server(server: ScriptedServer) -> None:
    agents = [v1.Agent(id="agent-1a", name="n"), v1.Agent(id="agent-2b"), v1.Agent(id="agent-1c")]
    server.plan(methods.LIST_AGENTS, v1.ListAgentsResponse(agents=agents))

    assert await completed(server.address, "sendoff agents show agent-1") == (["agent-1a", "agent-1c"], "")


async def test_ids_are_completed_from_the_server_that_the_line_names(server: ScriptedServer) -> None:
    server.plan(methods.LIST_RUNS, v1.ListRunsResponse(runs=[v1.Run(id="run-1")]))

    async with serving() as other:
        offered = await completed(other.address, f"sendoff --address {server.address} --timeout 99 get ")

    assert offered == (["run-1"], "")
    assert other.requests == []


async def test_where_the_server_refuses_nothing_is_offered_and_nothing_said(server: ScriptedServer) -> None:
    server.plan(methods.LIST_RUNS, Failure(grpc.StatusCode.PERMISSION_DENIED, reason="PERMISSION_DENIED"))

    assert await completed(server.address, "sendoff get run-") == ([], "")
    assert len(server.requests) == 1
    assert all(left is not None and left <= 2 for left in server.remaining_s)


async def test_where_no_server_answers_nothing_is_offered_and_nothing_said() -> None:
    async with serving() as server:
        gone = server.address

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sendoff"),
        env=os.environ | asking(gone, "sendoff get run-"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        offered, told = await process.communicate()
    assert (offered.strip(), told) == (b"", b"")


async def test_a_wrong_option_in_the_line_is_no_reason_to_say_something() -> None:
    assert await completed("127.0.0.1:1", "sendoff --ca no-such-file get run-") == ([], "")


async def test_rpcs_are_completed_without_a_server() -> None:
    assert await completed("127.0.0.1:1", "sendoff call RunService/W") == (
        ["RunService/WaitRun", "RunService/WatchRun"],
        "",
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_a_script_of_its_own(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: (shell, f"/bin/{shell}"))

    outcome = invoke(["--show-completion"])

    assert outcome.exit_code == 0
    assert f"complete_{shell}" in outcome.stdout
    assert "sendoff" in outcome.stdout
