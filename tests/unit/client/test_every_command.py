"""Every command: which RPC it calls, and that its --json is JSON, an object a line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from sendoff import v1
from sendoff.cli.app import app
from sendoff.cli.call.contract import rpcs
from tests.unit.client.commanding import COMPLETED, Command, commanding, finished
from tests.unit.client.lenient_server import LenientServer, lenient
from tests.unit.client.scripted_server import AGENT_ID, RUN_ID

TOOL_ID = "tool-00000000-0000-4000-8000-000000000001"

USES: dict[str, str] = {
    f"send {AGENT_ID} Hello": "RunService/CreateMessageAsync",
    f"get {RUN_ID}": "RunService/GetRun",
    f"wait {RUN_ID}": "RunService/WaitRun",
    f"watch {RUN_ID}": "RunService/WatchRun",
    f"cancel {RUN_ID}": "RunService/CancelRun",
    f"messages {RUN_ID}": "RunService/ListRunMessages",
    "top": "RunService/ListRuns",
    "queue": "OpsService/GetQueueStats",
    "audit": "OpsService/ListAuditEntries",
    "info": "OpsService/GetServerInfo",
    "call GetRun": "RunService/GetRun",
    "runs ls": "RunService/ListRuns",
    f"runs rm {RUN_ID}": "RunService/DeleteRun",
    f"runs explain {RUN_ID}": "RunService/ExplainRun",
    f"runs events {RUN_ID}": "RunService/ListRunEvents",
    f"runs steps {RUN_ID}": "StepService/ListSteps",
    "steps ls": "StepService/ListSteps",
    "steps get step-1": "StepService/GetStep",
    "steps messages step-1": "StepService/ListStepMessages",
    "steps feedback step-1 positive": "StepService/UpdateStepFeedback",
    "actions ls": "ActionService/ListPendingActions",
    f"actions approve {RUN_ID}": "ActionService/RespondToActions",
    f"actions deny {RUN_ID}": "ActionService/RespondToActions",
    f"actions return {RUN_ID} done": "ActionService/RespondToActions",
    "agents create": "AgentService/CreateAgent",
    f"agents show {AGENT_ID}": "AgentService/GetAgent",
    "agents ls": "AgentService/ListAgents",
    "agents count": "AgentService/CountAgents",
    "agents tags": "AgentService/ListTags",
    f"agents update {AGENT_ID} --name x": "AgentService/UpdateAgent",
    f"agents rm {AGENT_ID}": "AgentService/DeleteAgent",
    f"agents system {AGENT_ID}": "AgentService/CompileSystem",
    f"conversations create {AGENT_ID}": "ConversationService/CreateConversation",
    "conversations show conv-1": "ConversationService/GetConversation",
    "conversations ls": "ConversationService/ListConversations",
    "conversations update conv-1 --summary x": "ConversationService/UpdateConversation",
    "conversations rm conv-1": "ConversationService/DeleteConversation",
    "conversations fork conv-1": "ConversationService/ForkConversation",
    "conversations context conv-1": "ConversationService/GetConversationContext",
    "conversations compact conv-1": "ConversationService/CompactConversation",
    "conversations reset conv-1": "ConversationService/ResetConversation",
    "conversations messages conv-1": "ConversationService/ListMessages",
    "conversations message message-1": "ConversationService/GetMessage",
    "blocks put --label x": "BlockService/CreateBlock",
    "blocks put block-1 --value x": "BlockService/UpdateBlock",
    "blocks get block-1": "BlockService/GetBlock",
    "blocks ls": "BlockService/ListBlocks",
    "blocks rm block-1": "BlockService/DeleteBlock",
    "callbacks create --pull": "CallbackService/CreateEndpoint",
    "callbacks get endpoint-1": "CallbackService/GetEndpoint",
    "callbacks ls": "CallbackService/ListEndpoints",
    "callbacks update endpoint-1 --disable": "CallbackService/UpdateEndpoint",
    "callbacks rm endpoint-1": "CallbackService/DeleteEndpoint",
    "callbacks rotate endpoint-1": "CallbackService/RotateSecret",
    "callbacks test endpoint-1": "CallbackService/TestEndpoint",
    "callbacks delivery delivery-1": "CallbackService/GetDelivery",
    "callbacks deliveries": "CallbackService/ListDeliveries",
    "callbacks redeliver delivery-1": "CallbackService/Redeliver",
    "callbacks receive endpoint-1 --count 1": "CallbackService/ReceiveDeliveries",
    "files get file-1": "FileService/GetFile",
    "files ls": "FileService/ListFiles",
    "files rm file-1": "FileService/DeleteFile",
    "files put picture.png": "FileService/CreateFile",
    "tools put tool.py": "ToolService/UpsertTool",
    f"tools get {TOOL_ID}": "ToolService/GetTool",
    "tools ls": "ToolService/ListTools",
    f"tools rm {TOOL_ID}": "ToolService/DeleteTool",
    "models ls": "ModelService/ListModels",
    "dispatch pause": "OpsService/PauseDispatch",
    "dispatch resume": "OpsService/ResumeDispatch",
    "dispatch ls": "OpsService/ListDispatchPauses",
    "health": "",
}
"""A use of each command, and the RPC that it is for; none of the contract's for `health`."""

ELSEWHERE = {"callbacks listen"}
"""Those that go on until they have received something: their own tests hold them to the same."""


@pytest.fixture
async def lenient_server() -> AsyncIterator[LenientServer]:
    async with lenient() as server:
        run = v1.Run(id=RUN_ID, pending_actions=[v1.PendingAction(run_id=RUN_ID, tool_call_id="call-1")])
        server.answer("RunService/GetRun", run)
        server.answer("RunService/WaitRun", COMPLETED)
        server.answer("RunService/WatchRun", v1.WatchRunResponse(event=finished(1)))
        server.answer("AgentService/ListTags", v1.ListTagsResponse(tags=["a", "b"]))
        yield server


@pytest.fixture
def command(lenient_server: LenientServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    (tmp_path / "picture.png").write_bytes(b"png")
    (tmp_path / "tool.py").write_text("def f(): ...")
    monkeypatch.chdir(tmp_path)
    return commanding(lenient_server.address)


def commands(group: Any, *before: str) -> Iterator[tuple[str, Any]]:
    """Every command that is shown, by the words that call it."""
    for name, found in group.commands.items():
        if hasattr(found, "commands"):
            yield from commands(found, *before, name)
        elif not found.hidden:
            yield " ".join((*before, name)), found


def used() -> set[str]:
    known = dict(commands(get_command(app)))
    return {name for name in known for use in USES if f"{use} ".startswith(f"{name} ")}


def test_every_command_takes_json() -> None:
    without = [name for name, found in commands(get_command(app)) if "--json" not in options(found)]

    assert without == []


def test_every_command_has_help_for_itself_and_for_all_that_it_takes() -> None:
    for name, found in commands(get_command(app)):
        assert found.help, name
        assert all(each.help for each in found.params if each.name != "help"), name


def options(found: Any) -> set[str]:
    return {option for each in found.params for option in each.opts}


def test_every_command_and_every_rpc_has_its_use_here() -> None:
    assert {name for name, _ in commands(get_command(app))} - used() == ELSEWHERE
    assert set(USES.values()) - {""} == set(rpcs())


async def test_every_command_calls_its_rpc_and_prints_an_object_a_line(
    command: Command, lenient_server: LenientServer
) -> None:
    for use, rpc in USES.items():
        lenient_server.asked.clear()
        outcome = await command(*use.split(), "--json")

        assert outcome.exit_code == 0, (use, outcome)
        assert outcome.stderr == "" or use.startswith("watch"), (use, outcome)
        assert outcome.stdout, use
        assert all(isinstance(json.loads(line), dict) for line in outcome.stdout.splitlines()), (use, outcome)
        assert rpc in lenient_server.names() or not rpc, use


async def test_what_is_for_people_is_shown_of_every_command(command: Command) -> None:
    for use in USES:
        assert (await command(*use.split())).exit_code == 0, use
