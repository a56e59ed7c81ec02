"""A run as a trace: from whoever sent the message to whoever is called back, over processes and crashes."""

from __future__ import annotations

from sendoff import v1
from tests.contract.databases import PostgresDatabase
from tests.faults.caller import PATIENCE_S, calling, request, script
from tests.fixtures.receiver import Receiver
from tests.fixtures.server import Serve
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
