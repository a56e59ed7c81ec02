"""Traces of real servers, sent to a collector."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sendoff import v1
from tests.contract.databases import PostgresDatabase
from tests.faults.caller import PATIENCE_S, calling, request, script
from tests.fixtures.receiver import Receiver
from tests.fixtures.server import ServerProcess
from tests.tracing.collector import collecting
from tests.tracing.kept import CALLER, CALLER_SPAN, CALLER_TRACE, named, of_trace, path

RPC = "sendoff.v1.RunService/CreateMessageAsync"
EXPECTED = [RPC, "send runs", "invoke_agent", "step", "step", "chat script", "chat script"]
EXPECTED += ["execute_tool conversation_search", "deliver callback", "POST"]


@pytest.fixture
def replicas(tmp_path: Path) -> tuple[ServerProcess, ServerProcess]:
    return ServerProcess(tmp_path / "a"), ServerProcess(tmp_path / "b")


async def test_what_one_replica_accepts_and_another_executes_is_one_trace_in_a_collector(
    replicas: tuple[ServerProcess, ServerProcess],
    postgres: PostgresDatabase,
    receiver: Receiver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = replicas
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    secret = tmp_path / "callback.secret"
    shared = ("--database-url", postgres.dsn, "--callback-secret-file", str(secret))
    async with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{collector.address}")
        try:
            monkeypatch.setenv("OTEL_SERVICE_NAME", "first")
            await first.start(*shared, "--max-running", "1")
            async with calling(first.address) as caller:
                hanging = await caller.send(await caller.agent(), script(hang=True))
                await caller.started(hanging.id)
                tools = await caller.tools.ListTools(v1.ListToolsRequest(names=["conversation_search"]))
                agent = await caller.agent(tool_ids=[tool.id for tool in tools.tools])
                calls = [{"tool_calls": [{"name": "conversation_search", "arguments": {"query": "x"}}]}, {"text": "ok"}]
                sent = request(agent, script(steps=calls), callback_url=receiver.url())
                run = await caller.runs.CreateMessageAsync(
                    sent, timeout=PATIENCE_S, metadata=(("traceparent", CALLER), ("tracestate", "of=caller"))
                )
                monkeypatch.setenv("OTEL_SERVICE_NAME", "second")
                await second.start(*shared)
                assert (await caller.ended(run.id)).status == v1.RUN_STATUS_COMPLETED
            delivered = (await receiver.requests(1))[0]
            spans = await collector.has(lambda spans: len(of_trace(spans, CALLER_TRACE)) == len(EXPECTED))
        finally:
            await first.close()
            await second.close()
    spans = of_trace(spans, CALLER_TRACE)
    assert sorted(span.name for span in spans) == sorted(EXPECTED)
    above = ["invoke_agent", "send runs", RPC, CALLER_SPAN]
    assert path(spans, named(spans, "execute_tool conversation_search")) == ["step", *above]
    assert [path(spans, span) for span in spans if span.name == "chat script"] == [["step", *above]] * 2
    assert path(spans, named(spans, "POST")) == ["deliver callback", *above]
    assert {span.name for span in spans if span.service == "first"} == {RPC, "send runs"}
    assert delivered.headers["traceparent"] == f"00-{CALLER_TRACE}-{named(spans, 'POST').span_id}-01"
    assert delivered.headers["tracestate"] == "of=caller"
    assert run.trace.trace_id == CALLER_TRACE


async def test_a_run_that_outlives_its_process_is_one_whole_trace(
    server_process: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    async with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{collector.address}")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "before")
        await server_process.start()
        async with calling(server_process.address) as caller:
            tools = await caller.tools.ListTools(v1.ListToolsRequest(names=["conversation_search"]))
            agent = await caller.agent(tool_ids=[tool.id for tool in tools.tools])
            search = {"tool_calls": [{"name": "conversation_search", "arguments": {"query": "x"}}]}
            retried = {**search, "error": {"kind": "overloaded", "attempts": 1, "retry_after_s": 0}}
            sent = request(agent, script(steps=[retried, {"hang": True}]))
            run = await caller.runs.CreateMessageAsync(sent, timeout=PATIENCE_S, metadata=(("traceparent", CALLER),))
            await collector.has(lambda spans: any(span.name == "step" for span in of_trace(spans, CALLER_TRACE)))
            await server_process.kill()
            monkeypatch.setenv("OTEL_SERVICE_NAME", "after")
            await server_process.start()
            while (await caller.get(run.id)).attempt < 2:
                run = await caller.changed(run.id, run.last_sequence)
            await caller.cancel(run.id)
            await caller.ended(run.id)
            await collector.has(lambda spans: any(span.name == "invoke_agent" for span in spans))
            assert await server_process.stop() == 0
    (line,) = [line for line in server_process.log if "model call is repeated later" in line]
    assert json.loads(line)["trace_id"] == CALLER_TRACE
    spans = of_trace(collector.spans, CALLER_TRACE)
    whole = named(spans, "invoke_agent")
    assert (whole.service, whole.attributes["sendoff.run.attempt"]) == ("after", 2)
    assert whole.events == ("sendoff.run.recovered",)
    steps_told = [(span.service, span.attributes["sendoff.run.attempt"]) for span in spans if span.name == "step"]
    assert sorted(steps_told) == [("after", 2), ("before", 1)]
    ids = {span.span_id for span in spans}
    assert [span.name for span in spans if span.parent_id not in ids] == [RPC]  # whose parent is the caller's
    assert len(ids) == len(spans)
