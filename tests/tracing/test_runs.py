"""A run as a trace: from whoever sent the message to whoever is called back, over processes and crashes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from sendoff import AsyncClient, v1
from sendoff_server.tracing.tools import TracedTools
from tests.contract.databases import PostgresDatabase
from tests.faults.caller import PATIENCE_S, Caller, calling, request, script, seconds
from tests.fixtures import mcp_servers
from tests.fixtures.mcp_servers import misbehaving
from tests.fixtures.receiver import Receiver
from tests.fixtures.server import Serve
from tests.fixtures.tools import open_workshop, says
from tests.service.answering import answer, answers, approve, furnish, stopped
from tests.tracing.kept import CALLER, CALLER_SPAN, CALLER_TRACE, Memory, named, of_trace, path


async def test_a_run_is_one_trace_though_another_replica_executes_it(
    serve: Serve, postgres: PostgresDatabase, receiver: Receiver
) -> None:
    one, two = Memory(), Memory()
    full = serve(database_url=postgres.dsn, max_running=1, tracer=one.tracer)
    async with full as first, calling(first.grpc.address) as caller:
        busy = await caller.send(await caller.agent(), script(hang=True))
        await caller.started(busy.id)
        agent = await caller.agent()
        sent = request(agent, script(text="the answer"), callback_url=receiver.url())
        accepted = await caller.runs.CreateMessageAsync(sent, timeout=PATIENCE_S, metadata=(("traceparent", CALLER),))
        async with serve(database_url=postgres.dsn, tracer=two.tracer) as second:
            async with calling(second.grpc.address) as other:
                ended = await other.ended(accepted.id)
            delivered = (await receiver.requests(1))[0]
    assert ended.status == v1.RUN_STATUS_COMPLETED
    spans = of_trace([*one.spans, *two.spans], CALLER_TRACE)
    rpc = "sendoff.v1.RunService/CreateMessageAsync"
    call = named(spans, "chat script")
    run = named(spans, "invoke_agent")
    post = named(spans, "POST")
    assert path(spans, post) == ["deliver callback", *path(spans, named(spans, "deliver callback"))]
    assert delivered.headers["traceparent"] == f"00-{CALLER_TRACE}-{post.span_id}-01"
    assert run.attributes["sendoff.run.id"] == accepted.id
    assert path(spans, call) == ["step", "invoke_agent", "send runs", rpc, CALLER_SPAN]


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
async def traced(serve: Serve, memory: Memory) -> AsyncIterator[Caller]:
    """A caller of a server that keeps traces."""
    async with serve(tracer=memory.tracer) as server, calling(server.grpc.address) as caller:
        yield caller


async def _sent(caller: Caller, text: str, traceparent: str = CALLER, **fields: Any) -> v1.Run:
    """A run that a caller with a trace sent, once it has ended."""
    sent = request(await caller.agent(), text, **fields)
    headers = (("traceparent", traceparent),)
    run = await caller.runs.CreateMessageAsync(sent, timeout=PATIENCE_S, metadata=headers)
    return await caller.ended(run.id)


async def test_a_run_tells_its_trace_and_so_do_its_steps(serve: Serve, memory: Memory) -> None:
    async with serve(tracer=memory.tracer) as server, calling(server.grpc.address) as caller:
        run = await _sent(caller, "hello")
        async with AsyncClient(server.grpc.address) as client:
            steps = [step async for step in client.run_steps(run.id)]
    assert run.trace.trace_id == CALLER_TRACE
    assert [step.trace_id for step in steps] == [CALLER_TRACE]
    assert named(memory.spans, "send runs").span_id == run.trace.span_id


async def test_without_traces_a_run_tells_none_whatever_its_caller_sends(serve: Serve) -> None:
    async with serve() as server, calling(server.grpc.address) as caller:
        assert not (await _sent(caller, "hello")).HasField("trace")


async def test_a_model_call_tells_its_use_and_each_repeat_is_a_span_of_its_own(traced: Caller, memory: Memory) -> None:
    error = {"kind": "overloaded", "attempts": 1, "retry_after_s": 0}
    await _sent(traced, script(text="at last", error=error, usage={"prompt_tokens": 7, "completion_tokens": 3}))
    calls = [span for span in memory.spans if span.name == "chat script"]
    assert [(span.failed, span.attributes.get("error.type")) for span in calls] == [
        (True, "MODEL_OVERLOADED"),
        (False, None),
    ]
    told = calls[1].attributes
    assert calls[1].kind == "CLIENT"
    assert (told["gen_ai.operation.name"], told["gen_ai.provider.name"]) == ("chat", "scripted")
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (7, 3)
    assert told["gen_ai.response.finish_reasons"] == ("stop",)
    assert told["gen_ai.response.time_to_first_chunk"] >= 0
    run = named(memory.spans, "invoke_agent")
    assert (run.attributes["sendoff.run.status"], run.attributes["gen_ai.usage.input_tokens"]) == ("completed", 7)


async def test_a_run_that_fails_is_a_failed_span(traced: Caller, memory: Memory) -> None:
    run = await _sent(traced, script(text="never", error={"kind": "authentication"}))
    spans = [named(memory.spans, name) for name in ("invoke_agent", "step", "chat script")]
    assert run.status == v1.RUN_STATUS_FAILED
    assert [(span.failed, span.attributes["error.type"]) for span in spans] == [(True, "MODEL_AUTHENTICATION")] * 3


async def test_a_continuation_is_linked_to_the_run_that_stopped(
    serve: Serve, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish(open_workshop(monkeypatch))
    async with serve(tracer=memory.tracer) as server, calling(server.grpc.address) as caller:
        agent = await caller.agent()
        first = await stopped(caller, agent, "risky")
        second = await answer(caller, answers(agent, approve(first)))
    runs = {span.attributes["sendoff.run.id"]: span for span in memory.spans if span.name == "invoke_agent"}
    assert runs[first.id].trace_id != runs[second.id].trace_id
    assert runs[first.id].span_id in runs[second.id].links
    (tool,) = [span for span in memory.spans if span.name.startswith("execute_tool")]
    assert tool.parent_id == runs[second.id].span_id  # it settles what another run has asked for


async def test_a_tool_that_fails_is_a_failed_span(
    serve: Serve, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = open_workshop(monkeypatch)
    workshop.has("weak", says("out of order", is_error=True))
    async with serve(tracer=memory.tracer) as server, calling(server.grpc.address) as caller:
        await _sent(caller, script(steps=[{"tool_calls": [{"name": "weak"}]}, {"text": "oh"}]))
    tool = named(memory.spans, "execute_tool weak")
    assert (tool.failed, tool.attributes["error.type"]) == (True, "tool_error")
    assert tool.attributes["mcp.method.name"] == "tools/call"
    assert named(memory.spans, "invoke_agent").failed is False


async def test_an_mcp_server_is_told_of_the_span_of_the_call(memory: Memory) -> None:
    async with mcp_servers.running({"x": misbehaving()}) as servers:
        async with asyncio.timeout(PATIENCE_S):
            while await servers.silent():  # it is a process, which takes its time to start
                pass
        tool = await mcp_servers.tool_named(servers, "x_trace")
        traced = TracedTools(servers, memory.tracer)
        with memory.tracer.call("Some/Call", [("traceparent", CALLER)]):
            result = await traced.call(mcp_servers.calling(tool))
    span = named(memory.spans, "execute_tool x_trace")
    assert result.content.text == f"00-{CALLER_TRACE}-{span.span_id}-01"


async def test_a_trace_that_its_caller_does_not_record_is_passed_on_and_not_kept(
    traced: Caller, memory: Memory, receiver: Receiver
) -> None:
    run = await _sent(traced, "hello", CALLER[:-2] + "00", callback_url=receiver.url())
    delivered = (await receiver.requests(1))[0]
    assert of_trace(memory.spans, CALLER_TRACE) == []
    assert run.trace.trace_id == CALLER_TRACE
    version, trace_id, _, flags = delivered.headers["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", CALLER_TRACE, "00")


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("traceparent", "nonsense"),),
        (("traceparent", "00-" + "0" * 32 + "-b7ad6b7169203331-01"),),
        (("traceparent", "x" * 5_000),),
        (("traceparent-bin", b"\xff\xfe"), ("baggage", "of=caller")),
    ],
)
async def test_what_is_no_trace_of_a_caller_is_a_new_one(
    traced: Caller, memory: Memory, headers: Sequence[tuple[str, str | bytes]]
) -> None:
    sent = request(await traced.agent(), "hello")
    run = await traced.runs.CreateMessageAsync(sent, timeout=PATIENCE_S, metadata=tuple(headers))
    await traced.ended(run.id)
    spans = of_trace(memory.spans, run.trace.trace_id)
    assert run.trace.trace_id != CALLER_TRACE
    assert named(spans, "sendoff.v1.RunService/CreateMessageAsync").parent_id == ""
    assert "caller" not in run.trace.state


async def test_a_long_tracestate_is_dropped_and_the_trace_kept(traced: Caller, memory: Memory) -> None:
    headers = (("traceparent", CALLER), ("tracestate", ",".join(f"a{n}={'x' * 200}" for n in range(4))))
    sent = request(await traced.agent(), "hello")
    run = await traced.runs.CreateMessageAsync(sent, timeout=PATIENCE_S, metadata=headers)
    assert (run.trace.trace_id, run.trace.state) == (CALLER_TRACE, "")
    await traced.ended(run.id)


async def test_what_the_server_does_by_itself_begins_a_trace_that_is_linked(
    serve: Serve, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish(open_workshop(monkeypatch))
    async with serve(tracer=memory.tracer) as server, calling(server.grpc.address) as caller:
        limits = v1.Limits(action_timeout=seconds(0.05))
        first = await stopped(caller, await caller.agent(), "risky", limits=limits)
        wait = v1.WaitRunRequest(run_id=first.id, until=v1.WAIT_UNTIL_TURN_END, timeout=seconds(PATIENCE_S))
        second = await caller.runs.WaitRun(wait, timeout=PATIENCE_S + 5)
    spans = of_trace(memory.spans, second.trace.trace_id)
    runs = {span.attributes["sendoff.run.id"]: span for span in memory.spans if span.name == "invoke_agent"}
    assert path(spans, runs[second.id]) == ["send runs", ""]
    assert runs[first.id].span_id in runs[second.id].links


async def test_a_compaction_is_a_run_that_invokes_no_agent(traced: Caller, memory: Memory) -> None:
    agent = await traced.agent("scripted/echo")
    for text in ("one", "two", "three"):
        await traced.ended((await traced.send(agent, text)).id)
    asked = v1.CompactConversationRequest(conversation_id="default", agent_id=agent)
    await traced.conversations.CompactConversation(asked, timeout=PATIENCE_S)
    rpc = "sendoff.v1.ConversationService/CompactConversation"
    spans = of_trace(memory.spans, (await memory.ended(rpc)).trace_id)
    compaction = named(spans, "compact conversation")
    assert path(spans, named(spans, "chat echo")) == ["compact conversation", "send runs", rpc, ""]
    assert "gen_ai.operation.name" not in compaction.attributes
    assert not any(span.name == "invoke_agent" for span in spans)


async def test_a_run_that_is_cancelled_in_the_queue_invokes_no_agent(traced: Caller, memory: Memory) -> None:
    agent = await traced.agent()
    busy = await traced.send(agent, script(hang=True))
    await traced.started(busy.id)
    queued = await traced.send(agent, "never")
    await traced.cancel(queued.id)
    await traced.cancel(busy.id)
    await traced.ended(busy.id)
    run = await memory.ended("invoke_agent")
    assert (run.attributes["sendoff.run.id"], run.attributes["sendoff.run.status"]) == (busy.id, "cancelled")
    call = await memory.ended("chat script")
    assert (call.failed, call.attributes["error.type"]) == (True, "CancelledError")


async def test_each_try_of_a_callback_is_a_span_and_one_that_is_not_taken_a_failed_one(
    traced: Caller, memory: Memory, receiver: Receiver
) -> None:
    receiver.acts = [500]
    await _sent(traced, "hello", callback_url=receiver.url())
    first, second = await receiver.requests(2)
    assert first.headers["traceparent"] != second.headers["traceparent"]
    await memory.ended("deliver callback", 2)
    posts = [span for span in memory.spans if span.name == "POST"]
    tries = [span for span in memory.spans if span.name == "deliver callback"]
    assert [(post.failed, post.attributes["http.response.status_code"]) for post in posts] == [
        (True, 500),
        (False, 200),
    ]
    assert [each.attributes["sendoff.delivery.attempt"] for each in tries] == [1, 2]
    run = named(memory.spans, "invoke_agent")
    assert {each.parent_id for each in tries} == {run.span_id}
    assert set(posts[0].attributes) & {"url.full", "url.path"} == set()
