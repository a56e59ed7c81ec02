"""What the package shows, and what it must not draw in."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest

import sendoff
from sendoff import AsyncClient, Client


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, timeout=60
    )


def test_exported_names() -> None:
    assert sorted(sendoff.__all__) == [
        "ActionAlreadyAnswered",
        "AgentHasActiveRuns",
        "Answer",
        "Approve",
        "AsyncClient",
        "Change",
        "Client",
        "CompactionFailed",
        "Conflict",
        "ConversationBusy",
        "ConversationHasActiveRuns",
        "DeadlineExceeded",
        "EndpointDisabled",
        "EndpointHasNoUrl",
        "EndpointHasUrl",
        "EtagMismatch",
        "IdempotencyMismatch",
        "Internal",
        "InvalidRequest",
        "InvalidToolCallIds",
        "LogGap",
        "NoPendingAction",
        "NoSchema",
        "NotAllowed",
        "NotFound",
        "NotNow",
        "NothingToCompact",
        "Part",
        "PendingApproval",
        "PermissionDenied",
        "QueueFull",
        "QuotaExceeded",
        "Received",
        "Refused",
        "RequestTooLarge",
        "ResetFailed",
        "RetryPolicy",
        "RunDeleted",
        "RunStillOpen",
        "SecretUnreadable",
        "SendoffError",
        "Timing",
        "TooManyEndpoints",
        "TooManyPauses",
        "TooManySecrets",
        "ToolExists",
        "ToolFunction",
        "ToolIsTheServers",
        "Transcript",
        "Turn",
        "Unauthenticated",
        "Unavailable",
        "Unsupported",
        "Violation",
        "v1",
    ]
    assert all(hasattr(sendoff, name) for name in sendoff.__all__)


def test_methods_of_the_clients() -> None:
    assert public(Client) == public(AsyncClient)
    assert sorted(public(Client)) == [
        "actions",
        "agents",
        "approve",
        "audit_entries",
        "blocks",
        "cancel_run",
        "close",
        "compact_conversation",
        "compile_system",
        "conversations",
        "count_agents",
        "create_agent",
        "create_block",
        "create_conversation",
        "create_endpoint",
        "create_file",
        "create_message_async",
        "delete_agent",
        "delete_block",
        "delete_conversation",
        "delete_endpoint",
        "delete_file",
        "delete_run",
        "delete_tool",
        "deliveries",
        "deny",
        "dispatch_pauses",
        "endpoints",
        "explain_run",
        "files",
        "fork_conversation",
        "get_agent",
        "get_block",
        "get_conversation",
        "get_conversation_context",
        "get_delivery",
        "get_endpoint",
        "get_file",
        "get_message",
        "get_run",
        "get_step",
        "get_tool",
        "health",
        "messages",
        "models",
        "pause_dispatch",
        "queue_stats",
        "receive_deliveries",
        "redeliver",
        "redeliver_missed",
        "reset_conversation",
        "respond",
        "resume_dispatch",
        "return_result",
        "rotate_secret",
        "run_events",
        "run_messages",
        "run_steps",
        "run_with_tools",
        "runs",
        "send",
        "server_info",
        "set_step_feedback",
        "silent_mcp_servers",
        "step_messages",
        "steps",
        "tags",
        "test_endpoint",
        "tools",
        "update_agent",
        "update_block",
        "update_conversation",
        "update_endpoint",
        "upsert_tool",
        "wait_run",
        "watch",
    ]


@pytest.mark.parametrize("name", sorted(public(Client)))
def test_both_clients_take_the_same(name: str) -> None:
    blocking = inspect.signature(getattr(Client, name)).parameters
    asyncio = inspect.signature(getattr(AsyncClient, name)).parameters

    assert blocking == asyncio


def test_the_client_draws_in_neither_the_command_nor_the_server() -> None:
    done = run_python(
        "import sys, sendoff\n"
        "unwanted = {'typer', 'rich', 'click', 'pydantic', 'sendoff_server'}\n"
        "print(sorted(unwanted & set(sys.modules)))"
    )

    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_without_its_packages_the_command_says_what_to_install() -> None:
    done = run_python("import sys; sys.modules['typer'] = None; from sendoff.__main__ import main; main()")

    assert done.returncode == 1
    assert "pip install 'sendoff[cli]'" in done.stderr


def test_importing_the_client_draws_in_little() -> None:
    """Modules are counted, as time says more about the machine."""
    done = run_python(
        "import json, sys\n"
        "before = set(sys.modules)\n"
        "import sendoff\n"
        "new = sorted(set(sys.modules) - before)\n"
        "others = {name.partition('.')[0] for name in new} - sys.stdlib_module_names - {'sendoff', 'cython_runtime'}\n"
        "own = [name for name in new if name.startswith('sendoff.')]\n"
        "print(json.dumps([sorted(name for name in others if not name.startswith('_cython')), len(own), len(new)]))"
    )
    others, own, new = json.loads(done.stdout)

    drawn_in_by_grpc = {"typing_extensions", "grpc_health", "grpc_reflection", "grpc_status", "grpc_tools"}
    assert set(others) <= {"google", "grpc"} | drawn_in_by_grpc
    assert own <= 100
    assert new <= 400
