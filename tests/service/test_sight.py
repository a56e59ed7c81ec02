"""A workload that is known to the last run, and what is told of it: figures and log lines are held against what was
done."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from sendoff import v1
from sendoff_server.app import Server
from tests.faults.caller import Caller, calling, patiently, refused, request, script
from tests.faults.gated import at, hold_calls
from tests.fixtures.receiver import Receiver
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve
from tests.fixtures.tools import Workshop, open_workshop, says
from tests.service.answering import answer, answers, approve, stopped
from tests.service.scraping import Scraped, scraped
from tests.tracing.kept import CALLER, CALLER_TRACE, Memory

NOBODY = "agent-00000000-0000-4000-8000-000000000000"
HELD = "held in the middle"
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "cached_input_tokens": 40, "cost_microusd": 1_500}
ANSWERED, FAILED_STEPS, CANCELLED_STEPS = 3 + 1 + 3 + 2 + 3, 2, 1
"""Steps of the workload, by what became of them, in its order."""
STEPS = ANSWERED + FAILED_STEPS + CANCELLED_STEPS
Lines = list[MutableMapping[str, Any]]


@dataclass
class Seen:
    """What was done, and what is told of it."""

    ended: list[v1.Run] = field(default_factory=list)
    lines: Lines = field(default_factory=list)
    told: Scraped = field(default_factory=lambda: Scraped(""))

    def logged(self, event: str, **fields: Any) -> Lines:
        return [each for each in self.lines if each["event"] == event and fields.items() <= each.items()]


class Workload:
    """Does each thing that can happen to a run a number of times that nothing else does."""

    def __init__(self, caller: Caller, gate: HeldCalls, receiver: Receiver, server: Server) -> None:
        self.caller = caller
        self.gate = gate
        self.receiver = receiver
        self.server = server
        self.ended: list[v1.Run] = []

    async def done(self) -> list[v1.Run]:
        """All runs, ended."""
        await self.completed_and_repeated()
        await self.failed_and_tried_again()
        await self.cancelled()
        await self.called_tools()
        await self.stopped_and_went_on()
        await self.called_back()
        await self.refused()
        return self.ended

    async def _run(self, agent: str, text: str, **fields: Any) -> v1.Run:
        run = await self.caller.ended((await self.caller.send(agent, text, **fields)).id)
        self.ended.append(run)
        return run

    async def completed_and_repeated(self) -> None:
        """3 runs and 2 repeats; each run is watched from its beginning, the first one surely before its end."""
        agent = await self.caller.agent()
        texts = [script(text=text, usage=USAGE) for text in (HELD, "fine", "fine")]
        for number, text in enumerate(texts):
            run = await self.caller.send(agent, text, request_id=f"request-{number}")
            frames = aiter(self.caller.watch(run.id))
            await anext(frames)
            if number == 0:
                await patiently(self.gate.held.get())
                self.gate.release()
            async for _ in frames:
                pass
            self.ended.append(await self.caller.ended(run.id))
        for number, text in enumerate(texts[:2]):
            await self.caller.send(agent, text, request_id=f"request-{number}")

    async def failed_and_tried_again(self) -> None:
        """2 runs that fail for good, and one whose model fails twice before it answers."""
        agent = await self.caller.agent()
        for _ in range(2):
            await self._run(agent, script(error={"kind": "authentication"}))
        await self._run(agent, script(text="late", error={"kind": "overloaded", "attempts": 2, "retry_after_s": 0}))

    async def cancelled(self) -> None:
        """One at work, and one behind it; both are cancelled."""
        agent = await self.caller.agent()
        head = await self.caller.send(agent, script(text=HELD))
        await patiently(self.gate.held.get())
        behind = await self.caller.send(agent, script(text="never"))
        for run in (behind, head):
            await self.caller.cancel(run.id)
            self.ended.append(await self.caller.ended(run.id))

    async def called_tools(self) -> None:
        """One run, three steps: a call that works, two that do not."""
        agent = await self.caller.agent()
        calls = [{"tool_calls": [{"name": "plain"}]}, {"tool_calls": [{"name": "bad"}, {"name": "bad"}]}]
        await self._run(agent, script(steps=[*calls, {"text": "done"}]))

    async def stopped_and_went_on(self) -> None:
        """One run stops for an approval, and another goes on with it."""
        agent = await self.caller.agent()
        first = await stopped(self.caller, agent, "risky")
        self.ended += [first, await answer(self.caller, answers(agent, approve(first)))]

    async def called_back(self) -> None:
        """One callback that arrives, one that arrives at the second attempt, and one that is refused for good."""
        agent = await self.caller.agent()
        for acts in ([200], [500, 200], [410]):
            self.receiver.acts = list(acts)
            run = await self._run(agent, script(text="told"), callback_url=self.receiver.url())
            await self.caller.called_back(run.id, attempts=len(acts), done=True)

    async def refused(self) -> None:
        """3 over gRPC, one over REST."""
        for _ in range(3):
            await refused(self.caller.send(NOBODY, "nobody hears it"))
        assert self.server.http is not None
        async with httpx.AsyncClient(base_url=f"http://{self.server.http.address}") as http:
            body = {"messages": [{"role": "user", "content": "nobody hears it"}]}
            assert (await http.post(f"/v1/agents/{NOBODY}/messages/async", json=body)).status_code == 404


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = open_workshop(monkeypatch)
    made.has("plain", says("it is plain"))
    made.has("bad", says("it is broken", is_error=True))
    made.has("risky", says("it is done"), requires_approval=True)
    return made


@pytest.fixture
async def seen(
    serve: Serve, workshop: Workshop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Seen]:
    gate = hold_calls(monkeypatch, at(2, HELD))
    doors = {"http_address": "127.0.0.1:0", "metrics_address": "127.0.0.1:0", "metrics_tenants": "default"}
    with capture_logs(processors=[merge_contextvars]) as lines:
        async with serve(**doors) as server, calling(server.grpc.address) as caller:
            ended = await Workload(caller, gate, receiver, server).done()
            yield Seen(ended, lines, await scraped(server))


async def test_what_is_told_is_what_was_done(seen: Seen) -> None:
    _calls(seen)
    _runs(seen)
    _work(seen)
    _deliveries(seen)
    _streams_and_store(seen)
    _lines(seen)


def _calls(seen: Seen) -> None:
    call = {"door": "grpc", "call": "RunService/CreateMessageAsync"}
    accepts = len(seen.ended)
    assert seen.told("sendoff_calls_started_total", **call) == accepts + 2 + 3
    assert seen.told("sendoff_calls_total", **call, code="OK") == accepts + 2
    assert seen.told("sendoff_calls_total", **call, code="NOT_FOUND") == 3
    assert seen.told("sendoff_call_seconds_count", **call) == accepts + 2 + 3
    assert seen.told("sendoff_refusals_total", door="grpc", reason="AGENT_NOT_FOUND") == 3
    assert seen.told("sendoff_refusals_total", door="rest", reason="AGENT_NOT_FOUND") == 1
    route = "POST /v1/agents/{agent_id}/messages/async"
    assert seen.told("sendoff_calls_total", door="rest", call=route, code="404") == 1
    made = seen.told("sendoff_calls_total", door="grpc", call="AgentService/CreateAgent", code="OK")
    assert seen.told("sendoff_audit_entries_total", outcome="OK") == made + len(seen.ended) + 1  # a cancel
    watch = {"door": "grpc", "call": "RunService/WatchRun"}
    assert seen.told("sendoff_calls_total", **watch, code="OK") == 3


def _runs(seen: Seen) -> None:
    told = seen.told
    assert told("sendoff_runs_accepted_total", tenant="default") == len(seen.ended)
    assert told("sendoff_accept_repeats_total") == 2
    assert told("sendoff_runs_started_total") == len(seen.ended) - 1  # one was cancelled while it waited
    assert told("sendoff_run_wait_seconds_count", tenant="default") == len(seen.ended) - 1
    assert told("sendoff_runs_recovered_total") == 0
    ends = Counter((run.status, run.stop_reason) for run in seen.ended)
    for (status, reason), count in ends.items():
        names = {
            "status": v1.RunStatus.Name(status).removeprefix("RUN_STATUS_").lower(),
            "stop_reason": v1.StopReason.Name(reason).removeprefix("STOP_REASON_").lower(),
        }
        assert told("sendoff_runs_ended_total", **names, tenant="default") == count
    assert told.total("sendoff_runs_ended_total") == len(seen.ended)
    assert told.total("sendoff_run_seconds_count") == len(seen.ended)
    assert told("sendoff_run_first_output_seconds_count") == sum(run.HasField("ttft_ns") for run in seen.ended)
    assert told("sendoff_actions_opened_total", kind="approval") == 1
    assert told("sendoff_actions_resolved_total") == 1
    assert told("sendoff_leases_lost_total") == 0
    assert told.total("sendoff_queue_runs") == 0


def _work(seen: Seen) -> None:
    told, model = seen.told, {"model": "scripted/script"}
    assert told("sendoff_steps_total", **model, status="success") == ANSWERED
    assert told("sendoff_steps_total", **model, status="failed") == FAILED_STEPS
    assert told("sendoff_steps_total", **model, status="cancelled") == CANCELLED_STEPS
    assert told("sendoff_step_seconds_count", **model) == STEPS
    assert told("sendoff_model_calls_total", **model) == STEPS + 2  # two were made again
    assert told("sendoff_model_repeats_total", **model, reason="MODEL_OVERLOADED") == 2
    assert told("sendoff_model_seconds_count", **model) == ANSWERED
    for kind, tokens in (("input", "prompt_tokens"), ("output", "completion_tokens"), ("cached_input",) * 2):
        name = tokens if kind != "cached_input" else "cached_input_tokens"
        used = sum(getattr(run.usage, name) for run in seen.ended)
        assert used
        assert told("sendoff_tokens_total", **model, kind=kind, tenant="default") == used
    cost = sum(run.usage.cost_microusd for run in seen.ended)
    assert cost == 3 * USAGE["cost_microusd"]
    assert told("sendoff_cost_usd_total", **model, tenant="default") == pytest.approx(cost / 1e6)
    assert told.total("sendoff_tool_calls_total", outcome="success") == 2  # plain, and risky once it was approved
    assert told.total("sendoff_tool_calls_total", outcome="error") == 2
    assert told.total("sendoff_tool_seconds_count") == 4


def _deliveries(seen: Seen) -> None:
    told = seen.told
    assert told("sendoff_delivery_attempts_total", outcome="delivered") == 2
    assert told("sendoff_delivery_attempts_total", outcome="failed") == 1
    assert told("sendoff_delivery_attempts_total", outcome="given_up") == 1
    assert told("sendoff_delivery_seconds_count") == 4
    assert told("sendoff_delivery_lag_seconds_count") == 2
    assert told("sendoff_deliveries_under_way") == 0


def _streams_and_store(seen: Seen) -> None:
    told = seen.told
    assert told("sendoff_streams_open") == 0
    assert told("sendoff_streams_total", reason="run_finished") == 3
    assert 0 < told("sendoff_stream_lag_seconds_count") <= sum(run.last_sequence for run in seen.ended[:3])
    assert told("sendoff_store_batch_items_sum") >= 2 * len(seen.ended)
    assert told("sendoff_store_commit_seconds_count") == told("sendoff_store_batch_items_count")
    assert told.total("sendoff_store_failures_total") == 0
    assert told("sendoff_runs_under_way") == 0
    assert told("sendoff_ready") == 1
    assert told("sendoff_memory_pressure") == 0
    assert told("sendoff_memory_limit_bytes") > 0


def _lines(seen: Seen) -> None:
    runs = {run.id for run in seen.ended}
    started = {run.id for run in seen.ended if run.HasField("start_time")}
    for event, expected in (("run accepted", runs), ("run started", started), ("run ended", runs)):
        assert Counter(each["run_id"] for each in seen.logged(event)) == Counter(expected)
    for run in seen.ended:
        (ended,) = seen.logged("run ended", run_id=run.id)
        assert ended["agent_id"] == run.agent_id
        assert ended["tenant"] == "default"
        assert ended["steps"] == run.usage.step_count
        assert ended["log_level"] == ("warning" if run.status == v1.RUN_STATUS_FAILED else "info")
    assert len(seen.logged("request is a repeat")) == 2
    assert len(seen.logged("step ended")) == STEPS
    assert len(seen.logged("model call is repeated later")) == 2
    assert len(seen.logged("run stops for an action", kind="approval")) == 1
    assert len(seen.logged("action resolved")) == 1
    assert len(seen.logged("callback delivered")) == 2
    assert len(seen.logged("callback not delivered")) == 2
    accepted = seen.logged("run accepted")
    assert all(each["rpc"] == "RunService/CreateMessageAsync" for each in accepted)
    assert all(each["log_level"] in ("debug", "info", "warning") for each in seen.lines)


async def test_a_request_id_is_on_the_lines_of_its_call_and_told_back_over_rest(serve: Serve) -> None:
    with capture_logs(processors=[merge_contextvars]) as lines:
        async with serve(http_address="127.0.0.1:0") as server, calling(server.grpc.address) as caller:
            agent = await caller.agent()
            ask = v1.CreateMessageAsyncRequest(agent_id=agent, input=v1.Content(text="hello"))
            first = await caller.runs.CreateMessageAsync(ask, metadata=(("x-request-id", "of-grpc"),))
            assert server.http is not None
            async with httpx.AsyncClient(base_url=f"http://{server.http.address}") as http:
                path, body = f"/v1/agents/{agent}/messages/async", {"messages": [{"role": "user", "content": "hello"}]}
                got = await http.post(path, json=body, headers={"x-request-id": "of-rest"})
                odd = await http.post(path, json=body, headers={"x-request-id": "has spaces, and is no id"})
            await asyncio.gather(*(caller.ended(run_id) for run_id in (first.id, got.json()["id"], odd.json()["id"])))
    assert got.headers["x-request-id"] == "of-rest"
    assert "x-request-id" not in odd.headers
    accepted = {each["run_id"]: each for each in lines if each["event"] == "run accepted"}
    assert accepted[first.id]["request_id"] == "of-grpc"
    assert accepted[got.json()["id"]]["request_id"] == "of-rest"
    assert accepted[got.json()["id"]]["rpc"] == "POST /v1/agents/{agent_id}/messages/async"
    assert "request_id" not in accepted[odd.json()["id"]]


async def test_lines_of_a_run_that_is_traced_tell_its_trace(serve: Serve) -> None:
    memory = Memory()
    with capture_logs(processors=[merge_contextvars]) as lines:
        async with serve(tracer=memory.tracer) as server, calling(server.grpc.address) as caller:
            sent = request(await caller.agent("scripted/echo"), "hello")
            run = await caller.runs.CreateMessageAsync(sent, metadata=(("traceparent", CALLER),))
            await caller.ended(run.id)
    of_run = [each for each in lines if each.get("run_id") == run.id]
    assert [each["event"] for each in of_run] == ["run accepted", "run started", "step ended", "run ended"]
    assert {each["trace_id"] for each in of_run} == {CALLER_TRACE}
    assert all(len(each["span_id"]) == 16 for each in of_run)
