"""Calls of both doors as spans."""

from __future__ import annotations

import grpc.aio
import httpx
import pytest

from sendoff import v1
from tests.faults.caller import PATIENCE_S, calling, script
from tests.fixtures.server import Serve
from tests.tracing.kept import CALLER, CALLER_SPAN, CALLER_TRACE, Memory, named, of_trace, path

GET_RUN = "sendoff.v1.RunService/GetRun"
WATCH = "sendoff.v1.RunService/WatchRun"
SEND = "POST /v1/agents/{agent_id}/messages/async"


@pytest.fixture
def memory() -> Memory:
    return Memory()


async def test_a_call_is_named_by_the_conventions(serve: Serve, memory: Memory) -> None:
    async with serve(tracer=memory.tracer) as server, calling(server.grpc.address) as caller:
        await caller.agent()
    span = await memory.ended("sendoff.v1.AgentService/CreateAgent")
    assert (span.kind, span.failed) == ("SERVER", False)
    assert dict(span.attributes) == {
        "rpc.system.name": "grpc",
        "rpc.method": "sendoff.v1.AgentService/CreateAgent",
        "rpc.response.status_code": "OK",
    }


async def test_a_refusal_is_told_and_is_no_fault_of_the_server(serve: Serve, memory: Memory) -> None:
    async with serve(tracer=memory.tracer) as server, calling(server.grpc.address) as caller:
        with pytest.raises(grpc.aio.AioRpcError):
            await caller.get("run-00000000-0000-4000-8000-000000000000")
    span = await memory.ended(GET_RUN)
    assert span.attributes["rpc.response.status_code"] == span.attributes["error.type"] == "NOT_FOUND"
    assert span.failed is False


async def test_what_the_server_failed_at_is_a_failed_span(
    serve: Serve, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(tracer=memory.tracer) as server, calling(server.grpc.address) as caller:

        async def broken(*_: object) -> v1.Run:
            raise RuntimeError("a secret")

        monkeypatch.setattr(server.use_cases.runs, "get", broken)
        with pytest.raises(grpc.aio.AioRpcError):
            await caller.get("run-00000000-0000-4000-8000-000000000000")
    span = await memory.ended(GET_RUN)
    assert (span.failed, span.attributes["error.type"]) == (True, "INTERNAL")
    assert "a secret" not in str(span)


async def test_a_stream_is_a_span_until_its_end_and_one_that_is_left_is_cancelled(serve: Serve, memory: Memory) -> None:
    async with serve(tracer=memory.tracer) as server, calling(server.grpc.address) as caller:
        run = await caller.send(await caller.agent(), script(hang=True))
        await caller.started(run.id)
        stream = caller.runs.WatchRun(v1.WatchRunRequest(run_id=run.id))
        await stream.read()
        assert not any(span.name == WATCH for span in memory.spans)
        stream.cancel()
        assert (await memory.ended(WATCH)).attributes["rpc.response.status_code"] == "CANCELLED"


async def test_a_request_is_named_by_its_route_and_its_run_is_below_it(serve: Serve, memory: Memory) -> None:
    async with serve(tracer=memory.tracer, http_address="127.0.0.1:0") as server:
        assert server.http is not None
        async with calling(server.grpc.address) as caller, httpx.AsyncClient() as http:
            agent = await caller.agent()
            base = f"http://{server.http.address}/v1"
            body = {"input": script(text="well")}
            headers = {"traceparent": CALLER}
            run = (await http.post(f"{base}/agents/{agent}/messages/async", json=body, headers=headers)).json()
            await caller.ended(run["id"])
            blocking = await http.post(f"{base}/agents/{agent}/messages", json={"input": script(text="well")})
            await http.get(f"{base}/runs/nonsense?x=a+secret")
            await http.get(f"{base}/health/")
    assert blocking.status_code == 200
    assert run["metadata"]["trace_id"] == CALLER_TRACE
    spans = of_trace(memory.spans, CALLER_TRACE)
    assert path(spans, named(spans, "chat script")) == ["step", "invoke_agent", "send runs", SEND, CALLER_SPAN]
    request = named(spans, SEND)
    assert dict(request.attributes) == {
        "http.request.method": "POST",
        "http.route": "/v1/agents/{agent_id}/messages/async",
        "http.response.status_code": 200,
    }
    others = [span.name for span in memory.spans if span.kind == "SERVER" and span.name.startswith(("GET", "POST"))]
    assert others == [SEND, "POST /v1/agents/{agent_id}/messages", "GET /v1/runs/{run_id}"]
    assert "a secret" not in str(memory.spans)
    assert "a+secret" not in str(memory.spans)


async def test_a_stream_over_rest_is_a_span_until_its_end(serve: Serve, memory: Memory) -> None:
    async with serve(tracer=memory.tracer, http_address="127.0.0.1:0") as server:
        assert server.http is not None
        async with calling(server.grpc.address) as caller, httpx.AsyncClient(timeout=PATIENCE_S) as http:
            agent = await caller.agent()
            url = f"http://{server.http.address}/v1/agents/{agent}/messages/stream"
            async with http.stream("POST", url, json={"input": script(text="well")}) as response:
                lines = [line async for line in response.aiter_lines() if line]
            span = await memory.ended("POST /v1/agents/{agent_id}/messages/stream")
    assert lines[-1] == "data: [DONE]"
    run = named(memory.spans, "invoke_agent")
    assert (run.trace_id, span.attributes["http.response.status_code"]) == (span.trace_id, 200)
