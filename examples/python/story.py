"""Sendoff from Python with generated stubs alone; there is a client too: `pip install sendoff`.

Makes an agent, sends it a message, follows the run through cut connections, cancels one, answers an approval.
"""

from __future__ import annotations

import os
import random
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from sendoff.v1 import (
    action_service_pb2,
    action_service_pb2_grpc,
    agent_pb2,
    agent_service_pb2,
    agent_service_pb2_grpc,
    block_pb2,
    block_service_pb2,
    block_service_pb2_grpc,
    content_pb2,
    input_message_pb2,
    json_pb2,
    run_event_pb2,
    run_pb2,
    run_service_pb2,
    run_service_pb2_grpc,
    tool_rule_pb2,
    tool_service_pb2,
    tool_service_pb2_grpc,
)

DEADLINE_S = 60.0  # of one call with its repeats; long enough for a server to be replaced
WAIT_S = 20  # how long the server lets one WaitRun wait
PATIENCE_S = 60.0  # how long a watch may bring nothing before it is given up
# Where a network or a killed server cuts a stream, gRPC says one of these; a server that means it adds an ErrorInfo.
CUTS = {grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
TERMINAL = {run_pb2.RUN_STATUS_COMPLETED, run_pb2.RUN_STATUS_FAILED, run_pb2.RUN_STATUS_CANCELLED}


def connect() -> grpc.Channel:
    """A channel connects with its first call, and again whenever it must: a program needs one, for all its threads."""
    options = [
        # round_robin over the addresses behind the name, and which calls are repeated, when and how often.
        ("grpc.service_config", Path(__file__).parent.joinpath("gen/grpc-service-config.json").read_text()),
        # After 30 s of silence ask whether the server is there. The third number is the one that gRPC's core waits by.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.ping_timeout_ms", 10_000),
        # A server that is back is found soon: left alone, the pauses between attempts grow to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 5_000),  # no pause: how long one attempt may take
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ]
    address, ca_file = os.environ.get("SENDOFF_ADDRESS", "127.0.0.1:50051"), os.environ.get("SENDOFF_CA_FILE")
    if not ca_file:
        return grpc.insecure_channel(address, options)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(Path(ca_file).read_bytes()), options)


class Story:
    """Its stubs share the channel."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.health = health_pb2_grpc.HealthStub(channel)
        self.agents = agent_service_pb2_grpc.AgentServiceStub(channel)
        self.blocks = block_service_pb2_grpc.BlockServiceStub(channel)
        self.tools = tool_service_pb2_grpc.ToolServiceStub(channel)
        self.runs = run_service_pb2_grpc.RunServiceStub(channel)
        self.actions = action_service_pb2_grpc.ActionServiceStub(channel)
        key = os.environ.get("SENDOFF_API_KEY")
        self.metadata = [("authorization", f"Bearer {key}")] if key else []

    def call(self, method: grpc.UnaryUnaryMultiCallable, request):
        """With a deadline, always; and rather waiting for a connection than failing where there is none right now."""
        return method(request, timeout=DEADLINE_S, metadata=self.metadata, wait_for_ready=True)

    def tell(self) -> None:
        answer = self.call(self.health.Check, health_pb2.HealthCheckRequest())
        print("health:", health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status), flush=True)
        agent = self.make_agent(agent_pb2.Agent(name="helper", system="You answer in one sentence."))
        print("agent:", agent.id, flush=True)
        self.send_and_watch(agent.id)
        self.cancel(agent.id)
        self.approve()

    def make_agent(self, agent: agent_pb2.Agent) -> agent_pb2.Agent:
        # The request_id is what makes it safe that gRPC repeats the call: the same request is the same agent.
        request = agent_service_pb2.CreateAgentRequest(agent=agent, request_id=str(uuid.uuid4()))
        return self.call(self.agents.CreateAgent, request)

    def send_and_watch(self, agent_id: str) -> None:
        request = message(agent_id, "Why do ships have bells?")
        run = self.call(self.runs.CreateMessageAsync, request)
        print("run:", run.id, flush=True)
        again, call = self.runs.CreateMessageAsync.with_call(
            request, timeout=DEADLINE_S, metadata=self.metadata, wait_for_ready=True
        )
        replayed = ("idempotency-replayed", "true") in [(key, value) for key, value in call.initial_metadata()]
        print("again:", again.id, "replayed" if replayed else "not replayed", flush=True)
        text = ""
        for event in self.watch(run.id):
            print(f"event {event.sequence}: {event.WhichOneof('event')}", flush=True)
            if event.message.HasField("assistant_message"):
                text = event.message.assistant_message.content.text
        print("text:", text, flush=True)
        print("ended:", status(self.wait(run.id)), flush=True)

    def watch(self, run_id: str) -> Iterator[run_event_pb2.RunEvent]:
        """The run's log to its end: every event once and in order, over as many streams as it takes."""
        after, failures, since = 0, 0, time.monotonic()
        while True:
            request = run_service_pb2.WatchRunRequest(run_id=run_id, after_sequence=after, include_deltas=True)
            cut = "clean end"
            try:
                # No deadline: a run may take hours. The keep-alive of the channel finds out when nobody is there.
                for frame in self.runs.WatchRun(request, metadata=self.metadata):
                    failures, since = 0, time.monotonic()
                    kind = frame.WhichOneof("frame")
                    if kind == "event" and frame.event.sequence > after:
                        after = frame.event.sequence
                        yield frame.event
                        if frame.event.HasField("finished"):
                            return
                    elif kind == "delta":  # text that is being written; its message event has it whole
                        print(frame.delta.text, end="", file=sys.stderr, flush=True)
                    # All else (heartbeats, the reason of a clean end, what newer servers send) changes nothing.
            except grpc.RpcError as error:
                if not is_cut(error) or time.monotonic() - since > PATIENCE_S:
                    raise
                cut = error.code().name
            print(f"\nwatch cut ({cut}), going on after event {after}", file=sys.stderr, flush=True)
            time.sleep(min(2.0, 0.2 * 2 ** min(failures, 10)) * random.uniform(0.5, 1.0))
            failures += 1

    def wait(self, run_id: str) -> run_pb2.Run:
        """Until it has ended. One call waits for a while only, and returns the run as it is then."""
        request = run_service_pb2.WaitRunRequest(run_id=run_id, timeout=Duration(seconds=WAIT_S))
        while (run := self.call(self.runs.WaitRun, request)).status not in TERMINAL:
            pass
        return run

    def cancel(self, agent_id: str) -> None:
        run = self.call(self.runs.CreateMessageAsync, message(agent_id, "And why do they have a name?"))
        self.call(self.runs.CancelRun, run_service_pb2.CancelRunRequest(run_id=run.id, reason="no longer needed"))
        print("cancelled:", status(self.wait(run.id)), flush=True)

    def approve(self) -> None:
        agent = self.make_keeper()
        run = self.wait(self.call(self.runs.CreateMessageAsync, message(agent.id, "I like ships.")).id)
        for action in run.pending_actions:  # the run has ended, and its turn waits for these
            print("asks for:", action.call.name, flush=True)
        yes = [
            input_message_pb2.ActionDecision(
                approval=input_message_pb2.Approval(tool_call_id=action.tool_call_id, approve=True)
            )
            for action in run.pending_actions
        ]
        answers = action_service_pb2.RespondToActionsRequest(
            agent_id=agent.id, conversation_id="default", decisions=yes
        )
        response = self.call(self.actions.RespondToActions, answers)
        print("approved:", status(self.wait(response.run.id)), flush=True)  # another run, which goes on from there

    def make_keeper(self) -> agent_pb2.Agent:
        """An agent that writes into its memory before it answers, if it may. The first rule makes any model do so."""
        block = block_pb2.Block(label="human", description="Whom you talk to")
        request = block_service_pb2.CreateBlockRequest(block=block, request_id=str(uuid.uuid4()))
        block = self.call(self.blocks.CreateBlock, request)
        (tool,) = self.call(self.tools.ListTools, tool_service_pb2.ListToolsRequest(names=["memory_insert"])).tools
        arguments = json_pb2.JsonObject(json='{"label": "human", "new_string": "Likes ships."}')
        first = tool_rule_pb2.ToolRule(tool_name=tool.name, run_first=tool_rule_pb2.ToolRule.RunFirst(args=arguments))
        asks = tool_rule_pb2.ToolRule(tool_name=tool.name, requires_approval=tool_rule_pb2.ToolRule.RequiresApproval())
        return self.make_agent(
            agent_pb2.Agent(name="keeper", block_ids=[block.id], tool_ids=[tool.id], tool_rules=[first, asks])
        )


def message(agent_id: str, text: str) -> run_service_pb2.CreateMessageAsyncRequest:
    """A request that may be sent any number of times, and is one run."""
    return run_service_pb2.CreateMessageAsyncRequest(
        agent_id=agent_id, input=content_pb2.Content(text=text), request_id=str(uuid.uuid4())
    )


def status(run: run_pb2.Run) -> str:
    return run_pb2.RunStatus.Name(run.status)


def is_cut(error: grpc.RpcError) -> bool:
    """Whether the stream was cut, as opposed to refused."""
    return error.code() is grpc.StatusCode.UNAVAILABLE or (error.code() in CUTS and info_of(error) is None)


def info_of(error: grpc.RpcError) -> ErrorInfo | None:
    """What our server says about its errors: a reason to decide by, with what it is about."""
    told = rpc_status.from_call(error)
    for detail in told.details if told else ():
        info = ErrorInfo()
        if detail.Unpack(info) and info.domain == "sendoff":
            return info
    return None


def main() -> int:
    try:
        with connect() as channel:
            Story(channel).tell()
    except grpc.RpcError as error:
        info = info_of(error)
        reason = f" {info.reason} {dict(info.metadata)}" if info else ""
        print(f"{error.code().name}{reason}: {error.details()}", file=sys.stderr)
        print("Is a server there (make run), and are SENDOFF_ADDRESS, _API_KEY and _CA_FILE right?", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
