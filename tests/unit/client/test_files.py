"""Files and steps, through both clients and the command."""

from __future__ import annotations

import json
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import methods, v1
from tests.unit.client.commanding import ACCEPTED, Command
from tests.unit.client.scripted_server import AGENT_ID, RUN_ID, UNAVAILABLE, Asker, ScriptedServer

FILE_ID = "file-00000000-0000-4000-8000-000000000001"
STEP_ID = "step-00000000-0000-4000-8000-000000000001"
FILE = v1.File(
    id=FILE_ID, name="a.png", media_type="image/png", size_bytes=3, create_time=Timestamp(seconds=1_700_000_000)
)
STEP = v1.Step(
    id=STEP_ID,
    run_id=RUN_ID,
    status=v1.STEP_STATUS_SUCCESS,
    model_handle="scripted/echo",
    usage=v1.Usage(prompt_tokens=12, completion_tokens=3),
    tools_called=["look", "book"],
    model_duration_ns=1_500_000_000,
    tool_duration_ns=20_000_000,
)


# ---- both clients ----


async def test_a_file_is_made_once_however_often_it_is_sent(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.CREATE_FILE, UNAVAILABLE, FILE)

    assert await asker.call("create_file", b"png", "image/png", name="a.png") == FILE

    first, second = server.asked(v1.CreateFileRequest)
    assert first == second
    assert len(first.request_id) == 36
    assert (first.data, first.file) == (b"png", v1.File(name="a.png", media_type="image/png"))


async def test_a_file_is_read_listed_and_deleted(asker: Asker, server: ScriptedServer) -> None:
    answer = v1.GetFileResponse(file=FILE, data=b"png")
    server.plan(methods.GET_FILE, UNAVAILABLE, answer)
    server.plan(methods.LIST_FILES, v1.ListFilesResponse(files=[FILE], next_page_token="next"), v1.ListFilesResponse())
    server.plan(methods.DELETE_FILE, v1.DeleteFileResponse())

    assert await asker.call("get_file", FILE_ID, include_data=True) == answer
    assert await asker.every("files", page_size=1) == [FILE]
    assert await asker.call("delete_file", FILE_ID) is None

    assert server.asked(v1.GetFileRequest)[0] == v1.GetFileRequest(file_id=FILE_ID, include_data=True)
    assert server.asked(v1.ListFilesRequest)[1] == v1.ListFilesRequest(page_size=1, page_token="next")
    assert server.asked(v1.DeleteFileRequest) == [v1.DeleteFileRequest(file_id=FILE_ID)]


async def test_steps_are_read_and_listed(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.GET_STEP, UNAVAILABLE, STEP)
    server.plan(methods.LIST_STEPS, v1.ListStepsResponse(steps=[STEP], next_page_token="next"), v1.ListStepsResponse())

    assert await asker.call("get_step", STEP_ID) == STEP
    assert await asker.every("run_steps", RUN_ID, order_by="index desc", page_size=1) == [STEP]

    wanted = v1.ListStepsRequest(run_id=RUN_ID, order_by="index desc", page_size=1, page_token="next")
    assert server.asked(v1.ListStepsRequest)[1] == wanted


async def test_an_agent_is_given_tool_rules(asker: Asker, server: ScriptedServer) -> None:
    rule = v1.ToolRule(tool_name="tell", exit_loop=v1.ToolRule.ExitLoop())
    server.plan(methods.UPDATE_AGENT, v1.Agent())

    await asker.call("update_agent", AGENT_ID, tool_rules=[rule])

    (request,) = server.asked(v1.UpdateAgentRequest)
    assert list(request.agent.tool_rules) == [rule]
    assert list(request.update_mask.paths) == ["tool_rules"]


# ---- the command ----


async def test_a_picture_is_put_listed_and_removed(command: Command, server: ScriptedServer, tmp_path: Path) -> None:
    server.plan(methods.CREATE_FILE, FILE, FILE)
    server.plan(methods.LIST_FILES, v1.ListFilesResponse(files=[FILE]), v1.ListFilesResponse(files=[FILE]))
    server.plan(methods.DELETE_FILE, v1.DeleteFileResponse())
    picture = tmp_path / "a.png"
    picture.write_bytes(b"png")

    assert (await command("files", "put", str(picture), "--request-id", "mine")).stdout == f"{FILE_ID}\n"
    named = await command("files", "put", str(picture), "--name", "b", "--type", "image/webp", "--json")
    assert json.loads(named.stdout)["id"] == FILE_ID
    listed = (await command("files", "ls")).stdout.splitlines()
    assert json.loads((await command("files", "ls", "--json")).stdout)["name"] == "a.png"
    assert (await command("files", "rm", FILE_ID)).exit_code == 0

    first, second = server.asked(v1.CreateFileRequest)
    wanted = v1.File(name="a.png", media_type="image/png")
    assert first == v1.CreateFileRequest(file=wanted, data=b"png", request_id="mine")
    assert second.file == v1.File(name="b", media_type="image/webp")
    assert listed[1].split("\t") == [FILE_ID, "a.png", "image/png", "3", "2023-11-14 22:13:20Z"]


async def test_what_is_no_picture_or_not_there_is_not_put(command: Command, tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("hello")

    for path in (text, tmp_path / "missing.png"):
        outcome = await command("files", "put", str(path))
        assert outcome.exit_code == 2
        assert str(path.name) in outcome.stderr


async def test_a_message_shows_a_kept_picture_by_its_id(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.CREATE_MESSAGE_ASYNC, ACCEPTED)

    await command("send", AGENT_ID, "Look", "--image", FILE_ID)

    assert server.requests[0].input.parts.parts[1].image == v1.Image(letta=v1.Image.Stored(file_id=FILE_ID))


async def test_the_steps_of_a_run_are_shown_in_lines_or_as_json(command: Command, server: ScriptedServer) -> None:
    failed = v1.Step(
        id=STEP_ID, status=v1.STEP_STATUS_FAILED, error=v1.RunError(reason="MODEL_TIMEOUT", message="too slow")
    )
    server.plan(
        methods.LIST_STEPS, v1.ListStepsResponse(steps=[STEP, failed]), v1.ListStepsResponse(steps=[STEP, failed])
    )

    lines = (await command("runs", "steps", RUN_ID)).stdout.splitlines()
    as_json = (await command("runs", "steps", RUN_ID, "--json")).stdout.splitlines()

    tokens, durations = "12 in, 3 out", ("1.50 s", "0.02 s")
    assert lines[1].split("\t") == [STEP_ID, "success", "scripted/echo", tokens, *durations, "look, book", ""]
    assert lines[2].split("\t") == [STEP_ID, "failed", "", "", "", "", "", "MODEL_TIMEOUT: too slow"]
    assert [json.loads(line)["id"] for line in as_json] == [STEP_ID, STEP_ID]
