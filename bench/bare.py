"""The ceiling: a grpc.aio server that parses the same requests, answers with the same messages and keeps nothing.

It runs on the same loop, with the same server options, as ours. Its WatchRun has no log to tell: a watch after sequence
n gets n deltas, one every 10 ms, each with the time at which it was made; any other watch gets one frame, then silence.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from bench.processes import tell_ready
from sendoff import v1

TOKEN_PAUSE_S = 0.010

Context = grpc.aio.ServicerContext[Any, Any]


async def create_message_async(request: v1.CreateMessageAsyncRequest, context: Context) -> v1.Run:
    run = a_run(f"run-{uuid.uuid4()}", request.agent_id)
    run.request_id = request.request_id
    return run


async def get_run(request: v1.GetRunRequest, context: Context) -> v1.Run:
    run = a_run(request.run_id, "agent-00000000-0000-4000-8000-000000000000")
    run.status = v1.RUN_STATUS_COMPLETED
    run.phase = v1.RUN_PHASE_UNSPECIFIED
    run.stop_reason = v1.STOP_REASON_END_TURN
    run.start_time.CopyFrom(run.create_time)
    run.complete_time.CopyFrom(run.create_time)
    run.total_duration_ns = run.ttft_ns = 1_000_000
    run.usage.CopyFrom(v1.Usage(prompt_tokens=11, completion_tokens=7, total_tokens=18, step_count=1))
    run.attempt = 1
    return run


async def watch_run(request: v1.WatchRunRequest, context: Context) -> AsyncGenerator[v1.WatchRunResponse]:
    for number in range(request.after_sequence):
        await asyncio.sleep(TOKEN_PAUSE_S)
        text = f"{time.monotonic_ns()} "
        yield v1.WatchRunResponse(delta=v1.MessageDelta(message_id=request.run_id, offset=number, text=text))
    if not request.after_sequence:
        yield v1.WatchRunResponse(heartbeat=v1.Heartbeat(last_sequence=1))
        await asyncio.Event().wait()


def a_run(run_id: str, agent_id: str) -> v1.Run:
    seconds, nanos = divmod(time.time_ns(), 1_000_000_000)
    return v1.Run(
        id=run_id,
        agent_id=agent_id,
        status=v1.RUN_STATUS_CREATED,
        phase=v1.RUN_PHASE_QUEUED,
        background=True,
        request_config=v1.RequestConfig(
            use_assistant_message=True,
            assistant_message_tool_name="send_message",
            assistant_message_tool_kwarg="message",
        ),
        create_time=Timestamp(seconds=seconds, nanos=nanos),
        last_sequence=1,
        etag="1",
        turn_id=run_id,
    )


def _unary(behaviour: Callable[..., Any], request: type[Message]) -> grpc.RpcMethodHandler[Any, Any]:
    return grpc.unary_unary_rpc_method_handler(
        behaviour, request_deserializer=request.FromString, response_serializer=v1.Run.SerializeToString
    )


def handler() -> grpc.GenericRpcHandler:
    methods = {
        "CreateMessageAsync": _unary(create_message_async, v1.CreateMessageAsyncRequest),
        "GetRun": _unary(get_run, v1.GetRunRequest),
        "WatchRun": grpc.unary_stream_rpc_method_handler(
            watch_run,
            request_deserializer=v1.WatchRunRequest.FromString,
            response_serializer=v1.WatchRunResponse.SerializeToString,
        ),
    }
    return grpc.method_handlers_generic_handler("sendoff.v1.RunService", methods)


async def serve(options: list[tuple[str, int]]) -> None:
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    tell_ready(f"127.0.0.1:{port}")
    await server.wait_for_termination()


def main() -> None:
    """Serve until terminated. Argument: the server options, as JSON."""
    import uvloop

    options = [(str(name), int(value)) for name, value in json.loads(sys.argv[1])]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(options))


if __name__ == "__main__":
    main()
