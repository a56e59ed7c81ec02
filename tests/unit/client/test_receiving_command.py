"""`sendoff callbacks receive`: each delivery is printed, then acknowledged."""

from __future__ import annotations

import asyncio
import json
import signal
import sys

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff.cli.exits import ExitCode
from tests.unit.client.commanding import COMPLETED, Command
from tests.unit.client.scripted_server import RUN_ID, Failure, ScriptedServer
from tests.unit.client.test_receiving import ENDPOINT_ID, answers


def handed(name: str, event_type: str = "run.finished") -> v1.ReceiveDeliveriesResponse:
    told = v1.Delivery(id=name, run_id=RUN_ID, event_type=event_type, create_time=Timestamp(seconds=1_700_000_000))
    return v1.ReceiveDeliveriesResponse(delivery=told, run=COMPLETED)


async def test_each_is_a_line_and_is_acknowledged(command: Command, server: ScriptedServer) -> None:
    server.plan_pulls([handed("a", "run.started"), handed("b")])

    outcome = await command("callbacks", "receive", ENDPOINT_ID, "--count", "2")

    moment = "2023-11-14 22:13:20Z"
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    assert outcome.stdout.splitlines() == [
        f"{moment}  run.started  {RUN_ID}  running  a",
        f"{moment}  run.finished  {RUN_ID}  completed (end_turn)  b",
    ]
    assert answers(server.said[0]) == ["+a", "+b"]
    assert server.said[0][0].subscribe.max_unacked == 2


async def test_as_json_each_is_an_object_on_a_line(command: Command, server: ScriptedServer) -> None:
    server.plan_pulls([handed("a"), handed("b"), handed("c")])

    outcome = await command("callbacks", "receive", ENDPOINT_ID, "--count", "2", "--json", "--ack-timeout", "5m")

    told = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert [(each["delivery"]["id"], each["run"]["id"]) for each in told] == [("a", RUN_ID), ("b", RUN_ID)]
    assert answers(server.said[0]) == ["+a", "+b"]
    assert server.said[0][0].subscribe.ack_timeout.seconds == 300


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (Failure(grpc.StatusCode.NOT_FOUND, reason="ENDPOINT_NOT_FOUND"), ExitCode.NOT_FOUND),
        (Failure(grpc.StatusCode.FAILED_PRECONDITION, reason="ENDPOINT_HAS_URL"), ExitCode.CONFLICT),
    ],
)
async def test_what_ends_it_is_told(command: Command, server: ScriptedServer, failure: Failure, code: ExitCode) -> None:
    server.plan_pulls([handed("a"), failure])

    outcome = await command("callbacks", "receive", ENDPOINT_ID)

    assert (outcome.exit_code, len(outcome.stdout.splitlines())) == (code, 1)
    assert outcome.stderr == "error: planned\n"


async def test_ctrl_c_ends_it_and_the_stream_with_it(server: ScriptedServer) -> None:
    server.plan_pulls([handed("a")])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sendoff", "--address", server.address, "callbacks", "receive", ENDPOINT_ID),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        await process.stdout.readuntil(b"\n")
        process.send_signal(signal.SIGINT)
        _, told = await process.communicate()

    assert (process.returncode, told) == (ExitCode.INTERRUPTED, b"")
    assert server.ended_well == 1
