"""`sendoff call` reaches every RPC of the contract, of every kind, with requests and answers in JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict

from sendoff import v1
from sendoff.cli.call import describing
from sendoff.cli.call.contract import rpcs
from sendoff.cli.exits import ExitCode
from tests.unit.client.commanding import Command, commanding
from tests.unit.client.lenient_server import LenientServer, lenient, something
from tests.unit.client.scripted_server import RUN_ID

PROTOS = Path(__file__).parents[3] / "protos" / "sendoff" / "v1"


@pytest.fixture
async def lenient_server() -> AsyncIterator[LenientServer]:
    async with lenient() as server:
        yield server


@pytest.fixture
def command(lenient_server: LenientServer) -> Command:
    return commanding(lenient_server.address)


def declared() -> set[str]:
    """Every RPC by the words of the protos."""
    found = set()
    for proto in PROTOS.glob("*_service.proto"):
        service = ""
        for line in proto.read_text(encoding="utf-8").splitlines():
            words = line.replace("(", " ").split()
            if words[:1] == ["service"]:
                service = words[1]
            elif words[:1] == ["rpc"]:
                found.add(f"{service}/{words[1]}")
    return found


def test_the_rpcs_are_those_of_the_contract() -> None:
    assert declared() == set(rpcs())
    assert len(rpcs()) > 60


async def test_every_rpc_can_be_called(command: Command, lenient_server: LenientServer) -> None:
    for name, rpc in rpcs().items():
        outcome = await command("call", name, "{}")

        assert (outcome.exit_code, outcome.stderr) == (0, ""), name
        assert json.loads(outcome.stdout) == MessageToDict(something(rpc), preserving_proto_field_name=True)
    assert lenient_server.names() == list(rpcs())


async def test_every_rpc_and_its_request_are_described_with_their_comments(command: Command) -> None:
    for name, rpc in rpcs().items():
        told = json.loads((await command("call", name, "--describe", "--json")).stdout)

        assert told["comment"], name
        assert [field["name"] for field in told["fields"]] == [field.name for field in rpc.method.input_type.fields]
        assert all(field["comment"] for field in told["fields"]), name


async def test_a_request_and_its_answer_are_json(command: Command, lenient_server: LenientServer) -> None:
    run = v1.Run(id=RUN_ID, status=v1.RUN_STATUS_RUNNING, labels={"a": "b"}, total_duration_ns=2**60)
    lenient_server.answer("RunService/GetRun", run)

    outcome = await command("call", "GetRun", '{"runId": "run-1"}')

    assert json.loads(outcome.stdout) == MessageToDict(run, preserving_proto_field_name=True)
    assert lenient_server.asked == [("RunService/GetRun", v1.GetRunRequest(run_id="run-1"))]


@pytest.mark.parametrize("name", ["RunService/GetRun", "sendoff.v1.RunService/GetRun", "GetRun", "getrun"])
async def test_an_rpc_is_named_in_full_or_in_short(command: Command, lenient_server: LenientServer, name: str) -> None:
    assert (await command("call", name)).exit_code == 0
    assert lenient_server.names() == ["RunService/GetRun"]


async def test_a_request_comes_from_a_file_or_from_stdin(
    command: Command, lenient_server: LenientServer, tmp_path: Path
) -> None:
    file = tmp_path / "agent.json"
    file.write_text('{"agent": {"name": "Grüße"}}', encoding="utf-8")

    await command("call", "CreateAgent", f"@{file}")
    await command("call", "CreateAgent", "-", stdin=file.read_text(encoding="utf-8"))

    asked = v1.CreateAgentRequest(agent=v1.Agent(name="Grüße"))
    assert lenient_server.asked == [("AgentService/CreateAgent", asked)] * 2


async def test_answers_of_a_stream_are_lines(command: Command, lenient_server: LenientServer) -> None:
    frames = [v1.WatchRunResponse(event=v1.RunEvent(sequence=number)) for number in (1, 2, 3)]
    lenient_server.answer("RunService/WatchRun", *frames)

    outcome = await command("call", "WatchRun", '{"run_id": "r"}')

    told = [json.loads(line)["event"]["sequence"] for line in outcome.stdout.splitlines()]
    assert told == ["1", "2", "3"]


async def test_a_stream_of_requests_is_given_as_words_and_lines(
    command: Command, lenient_server: LenientServer, tmp_path: Path
) -> None:
    file = tmp_path / "several.json"
    file.write_text('{"ack_delivery_id": "b"}\n{"ack_delivery_id": "c"}')
    words = ('{"ack_delivery_id": "a"}', f"@{file}", "-")

    outcome = await command("call", "ReceiveDeliveries", *words, stdin='{"ack_delivery_id": "d"}\n\n')

    assert outcome.stdout == "{}\n" * 4
    said = [request.ack_delivery_id for _, request in lenient_server.asked]  # type: ignore[attr-defined]
    assert said == ["a", "b", "c", "d"]


async def test_a_bad_line_in_a_stream_of_requests_is_named(command: Command) -> None:
    outcome = await command("call", "ReceiveDeliveries", "-", stdin="{}\n{nonsense\n")

    assert outcome.exit_code == ExitCode.USAGE
    assert "stdin, request 2" in outcome.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("GetRn",), "is it RunService/GetRun"),
        (("GetRun", "{"), "line 1, column 2"),
        (("GetRun", "[]"), "expected an object"),
        (("GetRun", '{"no_such": 1}'), "no_such"),
        (("GetRun", "{}", "{}"), "takes one request"),
        (("GetRun", "{} {}"), "takes one request"),
        (("GetRun", "@no-such-file"), "no-such-file"),
        (("GetRun", "--header", "novalue"), "KEY=VALUE"),
        (("GetRun", "{}", "--describe"), "nothing is sent"),
        (("--describe",), "go with an RPC"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_what_cannot_be_sent_is_not(
    command: Command, lenient_server: LenientServer, words: tuple[str, ...], told: str
) -> None:
    outcome = await command("call", *words)

    assert outcome.exit_code == ExitCode.USAGE
    assert told in outcome.stderr
    assert lenient_server.asked == []


async def test_headers_are_sent_and_shown(command: Command, lenient_server: LenientServer) -> None:
    lenient_server.headers = (("idempotency-replayed", "true"),)

    for name in ("CreateMessageAsync", "WatchRun"):
        outcome = await command("call", name, "--header", "idempotency-key=mine", "--show-headers")

        assert lenient_server.metadata[-1]["idempotency-key"] == "mine"
        assert "idempotency-replayed: true\n" in outcome.stderr
        assert isinstance(json.loads(outcome.stdout), dict)


async def test_all_rpcs_are_listed_with_what_they_do(command: Command) -> None:
    lines = (await command("call")).stdout.splitlines()[1:]
    as_json = [json.loads(line) for line in (await command("call", "--json")).stdout.splitlines()]

    assert [line.partition("\t")[0] for line in lines] == [each["rpc"] for each in as_json] == list(rpcs())
    assert "Asks a run to stop" in "\n".join(lines)


async def test_messages_and_enums_are_described(command: Command) -> None:
    run = (await command("call", "Run", "--describe")).stdout
    status = (await command("call", "RunStatus", "--describe")).stdout
    nested = (await command("call", "StreamEnd.Reason", "--describe")).stdout

    assert "  labels: map of string to string\n" in run
    assert "  stop_reason: StopReason, optional\n" in run
    assert '  create_time: time, as "2026-03-04T10:15:00Z"\n' in run
    assert "  RUN_STATUS_RUNNING = 2\n      Under way.\n" in status
    assert "      The run has ended and everything was sent" in nested


def test_every_type_is_found_by_its_name() -> None:
    for name in ("Run", "sendoff.v1.Run", "Content.Parts", "RunPhase", "MessageDelta"):
        assert describing.type_named(name) is not None
    assert describing.type_named("GetRun") is None
