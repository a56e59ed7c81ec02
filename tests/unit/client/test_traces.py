"""The trace of the calling program: passed on if there is one, and not looked for otherwise."""

from __future__ import annotations

import subprocess
import sys

from opentelemetry.sdk.trace import TracerProvider

from sendoff import methods, v1
from tests.unit.client.commanding import Command
from tests.unit.client.logs import run
from tests.unit.client.scripted_server import RUN_ID, UNAVAILABLE, Asker, ScriptedServer

RUN = run(v1.RunStatus.RUN_STATUS_CREATED)


async def test_every_attempt_is_part_of_the_current_span(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.GET_RUN, UNAVAILABLE, RUN)
    with TracerProvider().get_tracer("program").start_as_current_span("work") as span:
        await asker.call("get_run", RUN_ID)
    context = span.get_span_context()
    parents = [each["traceparent"] for each in server.metadata]
    assert [parent.split("-")[1:3] for parent in parents] == [
        [f"{context.trace_id:032x}", f"{context.span_id:016x}"]
    ] * 2


async def test_without_a_span_nothing_is_passed_on(asker: Asker, server: ScriptedServer) -> None:
    server.plan(methods.GET_RUN, RUN)
    await asker.call("get_run", RUN_ID)
    assert "traceparent" not in server.metadata[0]


def test_the_client_does_not_load_a_library_for_it() -> None:
    program = "import sys, sendoff; sendoff.Client('127.0.0.1:1').close(); print('opentelemetry' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"


async def test_a_run_is_shown_with_its_trace(command: Command, server: ScriptedServer) -> None:
    traced = v1.Run()
    traced.CopyFrom(RUN)
    traced.trace.trace_id = "0af7651916cd43dd8448eb211c80319c"
    server.plan(methods.GET_RUN, traced)
    assert traced.trace.trace_id in (await command("get", RUN_ID)).stdout
