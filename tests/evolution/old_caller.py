"""A caller with generated stubs and nothing else: `python old_caller.py FOLDER_OF_STUBS ADDRESS` prints its story."""

import sys
from typing import Any

import grpc

sys.path.insert(0, sys.argv[1])

from sendoff.v1 import agent_service_pb2, content_pb2, run_pb2, run_service_pb2
from sendoff.v1.agent_service_pb2_grpc import AgentServiceStub
from sendoff.v1.run_service_pb2_grpc import RunServiceStub

PATIENCE_S = 30
SLOW = '{"script": {"text": "Never", "first_delay_ms": 60000}}'


def tell(channel: Any) -> None:
    runs: Any = RunServiceStub(channel)
    agents: Any = AgentServiceStub(channel)
    agent = agents.CreateAgent(agent_service_pb2.CreateAgentRequest(), timeout=PATIENCE_S)
    follow(runs, agent.id)
    cancel(runs, agent.id)
    try:
        missing = agent.id.replace("agent", "run")
        runs.GetRun(run_service_pb2.GetRunRequest(run_id=missing), timeout=PATIENCE_S)
    except grpc.RpcError as error:
        print("refused:", error.code().name)


def follow(runs: Any, agent_id: str) -> None:
    question = content_pb2.Content(text="Why do ships have bells?")
    request = run_service_pb2.CreateMessageAsyncRequest(agent_id=agent_id, input=question, request_id="ships-1")
    run = runs.CreateMessageAsync(request, timeout=PATIENCE_S)
    again, call = runs.CreateMessageAsync.with_call(request, timeout=PATIENCE_S)
    assert again.id == run.id
    print("replayed:", dict(call.initial_metadata())["idempotency-replayed"])
    frames = runs.WatchRun(run_service_pb2.WatchRunRequest(run_id=run.id, include_deltas=True), timeout=PATIENCE_S)
    events = [frame.event for frame in frames if frame.WhichOneof("frame") == "event"]
    assert [event.sequence for event in events] == [*range(1, len(events) + 1)]
    print("events:", *(event.WhichOneof("event") for event in events))
    print("text:", [event.message.assistant_message.content.text for event in events if event.HasField("message")][-1])
    print("ended:", run_pb2.RunStatus.Name(events[-1].finished.run.status))


def cancel(runs: Any, agent_id: str) -> None:
    request = run_service_pb2.CreateMessageAsyncRequest(
        agent_id=agent_id, input=content_pb2.Content(text=SLOW), override_model="scripted/script"
    )
    run = runs.CreateMessageAsync(request, timeout=PATIENCE_S)
    runs.CancelRun(run_service_pb2.CancelRunRequest(run_id=run.id), timeout=PATIENCE_S)
    ended = runs.WaitRun(run_service_pb2.WaitRunRequest(run_id=run.id), timeout=PATIENCE_S)
    print("cancelled:", run_pb2.RunStatus.Name(ended.status))


if __name__ == "__main__":
    with grpc.insecure_channel(sys.argv[2]) as channel:
        tell(channel)
