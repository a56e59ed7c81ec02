"""What the command prints: results on stdout, talk on stderr."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import methods, v1
from sendoff.cli import output
from tests.unit.client.commanding import ACCEPTED, CANCELLED, COMPLETED, Command, finished
from tests.unit.client.logs import delta, event, frames, said
from tests.unit.client.scripted_server import AGENT_ID, RUN_ID, UNAVAILABLE, ScriptedServer


async def test_send_prints_the_id_of_the_run_and_nothing_else(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.CREATE_MESSAGE_ASYNC, ACCEPTED)

    outcome = await command("send", AGENT_ID, "Hello")

    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (0, f"{RUN_ID}\n", "")
    assert server.requests[0].input.text == "Hello"


async def test_send_reads_the_text_from_stdin(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.CREATE_MESSAGE_ASYNC, ACCEPTED)

    await command("send", AGENT_ID, "-", stdin="Hello\nthere")

    assert server.requests[0].input.text == "Hello\nthere"


async def test_send_tells_how_long_to_keep_the_run(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.CREATE_MESSAGE_ASYNC, ACCEPTED)

    await command("send", AGENT_ID, "Hello", "--retention", "7200")

    assert server.requests[0].scheduling.retention.ToSeconds() == 7_200


async def test_every_option_of_send_stands_in_the_request(
    command: Command, server: ScriptedServer, tmp_path: Path
) -> None:
    server.plan(methods.CREATE_MESSAGE_ASYNC, v1.Run())
    picture = tmp_path / "a.png"
    picture.write_bytes(b"png")
    options = (
        *("--conversation", "conv-1", "--model", "m", "--system", "s", "--request-id", "mine", "--max-steps", "3"),
        *("--callback-url", "https://example.com/hook"),
        *("--label", "k=v=w", "--metadata", '{"a": 1}', "--when-busy", "reject", "--validate-only"),
        *("--start-time", "2030-01-02T03:04:05+00:00", "--priority", "1", "--fairness-key", "batch"),
        *("--image", str(picture), "--image", "https://example.com/b.png"),
    )

    outcome = await command("send", AGENT_ID, "Look", *options)

    assert (outcome.exit_code, outcome.stdout) == (0, "")
    local = v1.Image(base64=v1.Image.Base64(data=b"png", media_type="image/png"))
    remote = v1.Image(url=v1.Image.Url(url="https://example.com/b.png"))
    parts = [v1.ContentPart(text=v1.Text(text="Look")), v1.ContentPart(image=local), v1.ContentPart(image=remote)]
    assert server.requests[0] == v1.CreateMessageAsyncRequest(
        agent_id=AGENT_ID,
        conversation_id="conv-1",
        input=v1.Content(parts=v1.Content.Parts(parts=parts)),
        override_model="m",
        override_system="s",
        request_id="mine",
        max_steps=3,
        callback_url="https://example.com/hook",
        labels={"k": "v=w"},
        metadata=v1.JsonObject(json='{"a": 1}'),
        scheduling=v1.Scheduling(
            when_busy=v1.WhenBusy.WHEN_BUSY_REJECT,
            start_time=Timestamp(seconds=1_893_553_445),
            priority=1,
            fairness_key="batch",
        ),
        validate_only=True,
    )


async def test_watching_a_send_prints_the_answer_and_tells_how_it_ended(
    command: Command, server: ScriptedServer
) -> None:
    server.plan(methods.CREATE_MESSAGE_ASYNC, ACCEPTED)
    final = v1.RunEvent(sequence=1, message=said("m", "Hello there"))
    server.plan_streams(frames(delta("m", "Hel"), delta("m", "lo", offset=3), final, finished(2)))

    outcome = await command("send", AGENT_ID, "Hi", "--watch")

    assert (outcome.exit_code, outcome.stdout) == (0, "Hello there\n")
    for told in ("completed (end_turn)", "12 in, 3 out", "first token after 0.31 s", "ended after 1.20 s", RUN_ID):
        assert told in outcome.stderr


async def test_an_answer_that_is_taken_back_is_written_anew(command: Command, server: ScriptedServer) -> None:
    taken_back = v1.RunEvent(
        sequence=1, message_retracted=v1.MessageRetracted(message_id="m", reason="SERVER_RESTARTED")
    )
    final = v1.RunEvent(sequence=2, message=said("m", "Good day"))
    server.plan_streams(frames(delta("m", "Hel"), taken_back, delta("m", "Good"), final, finished(3)))

    outcome = await command("watch", RUN_ID)

    assert outcome.stdout == "Hel\nGood day\n"
    assert "taken back" in outcome.stderr


async def test_reasoning_and_tools_are_talk_and_no_answer(command: Command, server: ScriptedServer) -> None:
    call = v1.ToolCall(tool_call_id="1", name="weather", arguments='{"city":"Ulm"}', arguments_are_valid_json=True)
    thought = v1.Message(id="m", reasoning_message=v1.ReasoningMessage(reasoning="I think"))
    calls = v1.Message(id="m", tool_call_message=v1.ToolCallMessage(tool_calls=[call]))
    returned = v1.ToolReturn(tool_call_id="1", tool_return=v1.Content(text="sunny\nand warm"))
    returns = v1.Message(id="r", tool_return_message=v1.ToolReturnMessage(tool_returns=[returned]))
    events = [v1.RunEvent(sequence=n, message=each) for n, each in enumerate((thought, calls, returns), 1)]
    server.plan_streams(frames(*events, v1.RunEvent(sequence=4, message=said("a", "Sunny.")), finished(5)))

    outcome = await command("watch", RUN_ID)

    assert outcome.stdout == "Sunny.\n"
    assert outcome.stderr.startswith('I think\ntool call: weather({"city":"Ulm"})\ntool return: sunny and warm\n')


async def test_waiting_for_a_send_prints_the_answer(command: Command, server: ScriptedServer) -> None:
    asked = v1.Message(id="u", user_message=v1.UserMessage(content=v1.Content(text="Hi")))
    server.plan(methods.CREATE_MESSAGE_ASYNC, ACCEPTED)
    server.plan(methods.WAIT_RUN, COMPLETED)
    server.plan(methods.LIST_RUN_MESSAGES, v1.ListRunMessagesResponse(messages=[asked, said("m", "Hello")]))

    outcome = await command("send", AGENT_ID, "Hi", "--wait")

    assert (outcome.exit_code, outcome.stdout) == (0, "Hello\n")
    assert "completed (end_turn)" in outcome.stderr


async def test_json_of_a_stream_is_one_line_per_frame(command: Command, server: ScriptedServer) -> None:
    entries = (v1.RunSnapshot(), delta("m", "Hel"), event(1), finished(2))
    server.plan_streams(frames(*entries[1:]))

    outcome = await command("watch", RUN_ID, "--json")

    lines = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert [next(iter(line)) for line in lines] == ["delta", "event", "event"]
    assert lines[0]["delta"]["message_id"] == "m"
    assert lines[2]["event"]["finished"]["run"]["status"] == "RUN_STATUS_COMPLETED"


async def test_a_connection_that_is_lost_is_told_of_once_and_the_answer_goes_on(
    command: Command, server: ScriptedServer
) -> None:
    final = v1.RunEvent(sequence=1, message=said("m", "Hello there"))
    server.plan_streams([*frames(delta("m", "Hel")), UNAVAILABLE], [UNAVAILABLE], frames(final, finished(2)))

    outcome = await command("watch", RUN_ID)

    assert (outcome.exit_code, outcome.stdout) == (0, "Hello there\n")
    assert outcome.stderr.count("(the connection is lost; trying again)") == 1


async def test_watch_begins_where_it_is_told(command: Command, server: ScriptedServer) -> None:
    server.plan_streams(frames(finished(8)))

    await command("watch", RUN_ID, "--from", "7", "--no-deltas")

    assert (server.requests[0].after_sequence, server.requests[0].include_deltas) == (7, False)


@pytest.mark.parametrize("words", [("get", RUN_ID), ("wait", RUN_ID), ("cancel", RUN_ID)], ids=lambda words: words[0])
async def test_a_run_is_shown_in_lines_or_as_json(
    command: Command, server: ScriptedServer, words: tuple[str, ...]
) -> None:
    for method in (methods.GET_RUN, methods.WAIT_RUN, methods.CANCEL_RUN):
        server.plan(method, COMPLETED, COMPLETED)

    shown = await command(*words)
    as_json = await command(*words, "--json")

    assert shown.exit_code == as_json.exit_code == 0
    fields = dict(re.split(r":\s+", line, maxsplit=1) for line in shown.stdout.splitlines())
    assert fields["run"] == RUN_ID
    assert fields["status"] == "completed"
    assert fields["tokens"] == "12 in, 3 out"
    assert json.loads(as_json.stdout)["stop_reason"] == "STOP_REASON_END_TURN"


async def test_cancel_says_why_and_how(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.CANCEL_RUN, CANCELLED)

    await command("cancel", RUN_ID, "--rollback", "--reason", "enough")

    assert server.requests[0] == v1.CancelRunRequest(run_id=RUN_ID, rollback=True, reason="enough")


async def test_lists_in_a_pipe_are_tab_separated_with_a_header(command: Command, server: ScriptedServer) -> None:
    agents = [v1.Agent(id="agent-1", name="a\tb\nc", model="m"), v1.Agent(id="agent-2", name="[bold]d")]
    server.plan(methods.LIST_AGENTS, v1.ListAgentsResponse(agents=agents))

    outcome = await command("agents", "ls")

    header, first, second = (line.split("\t") for line in outcome.stdout.splitlines())
    assert header == ["AGENT", "NAME", "MODEL", "CREATED"]
    assert first == ["agent-1", "a b c", "m", ""]
    assert second[1] == "[bold]d"


async def test_lists_of_runs_are_filtered_and_limited(command: Command, server: ScriptedServer) -> None:
    page = v1.ListRunsResponse(runs=[v1.Run(id="1"), v1.Run(id="2"), v1.Run(id="3")], next_page_token="more")
    server.plan(methods.LIST_RUNS, page)
    filters = ("--agent", AGENT_ID, "--status", "failed", "--status", "cancelled", "--ended", "--limit", "2")

    outcome = await command("runs", "ls", *filters, "--json")

    assert [json.loads(line)["id"] for line in outcome.stdout.splitlines()] == ["1", "2"]
    asked = server.requests[0]
    assert (asked.agent_id, asked.active, asked.page_size) == (AGENT_ID, False, 2)
    assert list(asked.statuses) == [v1.RunStatus.RUN_STATUS_FAILED, v1.RunStatus.RUN_STATUS_CANCELLED]


async def test_agents_are_made_shown_and_removed(command: Command, server: ScriptedServer) -> None:
    agent = v1.Agent(id=AGENT_ID, name="n", model="m", system="s", tags=["t", "u"])
    server.plan(methods.CREATE_AGENT, agent)
    server.plan(methods.GET_AGENT, agent, agent)
    server.plan(methods.DELETE_AGENT, v1.DeleteAgentResponse())
    options = ("--name", "n", "--model", "m", "--system", "s", "--tag", "t", "--tag", "u", "--request-id", "mine")

    assert (await command("agents", "create", *options)).stdout == f"{AGENT_ID}\n"
    assert "tags:   t, u\n" in (await command("agents", "show", AGENT_ID)).stdout
    assert json.loads((await command("agents", "show", AGENT_ID, "--json")).stdout)["tags"] == ["t", "u"]
    assert (await command("agents", "rm", AGENT_ID, "--cancel-runs")).exit_code == 0

    created = v1.Agent(name="n", model="m", system="s", tags=["t", "u"])
    assert server.asked(v1.CreateAgentRequest) == [v1.CreateAgentRequest(agent=created, request_id="mine")]
    assert server.asked(v1.DeleteAgentRequest)[0].cancel_runs


async def test_models_are_listed_with_the_default_and_those_out_of_reach(
    command: Command, server: ScriptedServer
) -> None:
    models = [v1.Model(handle="a/b", context_window=8192, input_microusd_per_mtok=1_500_000), v1.Model(handle="c/d")]
    found = v1.ListModelsResponse(models=models, default_handle="c/d", unreachable=["openai"])
    server.plan(methods.LIST_MODELS, found)

    outcome = await command("models", "ls")

    rows = [line.split("\t") for line in outcome.stdout.splitlines()[1:]]
    assert rows == [["a/b", "", "8192", "", "1.5", ""], ["c/d", "*", "", "", "", ""]]
    assert "openai does not answer" in outcome.stderr


async def test_messages_and_the_server_are_shown(command: Command, server: ScriptedServer) -> None:
    server.plan(methods.LIST_RUN_MESSAGES, v1.ListRunMessagesResponse(messages=[said("m", "Hello")]))
    server.plan(methods.GET_SERVER_INFO, v1.GetServerInfoResponse(version="1.2", limits={"max_steps": 1000}))

    assert (await command("messages", RUN_ID)).stdout == "KIND\tTEXT\nassistant\tHello\n"
    assert (await command("info")).stdout == "version:   1.2\nmax steps: 1000\n"


def test_what_a_model_writes_does_not_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    output.write("a\x1b[2Jb\rc\x9bd\te\n")

    assert capsys.readouterr().out == "a\ufffd[2Jb\ufffdc\ufffdd\te\n"


def test_in_a_pipe_the_text_is_what_the_model_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    output.write("a\x1b[2Jb")

    assert capsys.readouterr().out == "a\x1b[2Jb"


def test_a_table_on_a_terminal_shows_words_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    output.table(("NAME", "MODEL"), [("[red]a", "b")])

    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["NAME", "MODEL"]
    assert row.split() == ["[red]a", "b"]
