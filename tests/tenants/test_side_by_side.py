"""P10 where tenants meet: names that both choose, slots that they share, deliveries on their way, and ids."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest

from sendoff import v1
from sendoff_server import app, ids
from sendoff_server.settings import Settings
from tests.faults.caller import PATIENCE_S, script, seconds
from tests.fixtures.server import Serve
from tests.tenants.gate import NamedTenants
from tests.tenants.over_grpc import GrpcCaller

TENANTS = ("alpha", "beta")


@pytest.fixture
async def server(serve: Serve, settings: Settings, database_url: str) -> AsyncIterator[app.Server]:
    """One run at a time, whose ever it is."""
    async with serve(gate=NamedTenants(), database_url=database_url, max_running=1) as running:
        yield running


class Tenant:
    """Calls of one, who has an agent."""

    def __init__(self, channel: grpc.aio.Channel, name: str) -> None:
        self.name = name
        self.caller = GrpcCaller(channel, name)
        self.agent = ""

    async def one(self, name: str, request: Any) -> Any:
        (told,) = await self.caller.told(name, request)
        return told

    async def settle(self) -> None:
        agent = v1.Agent(name="same", model="scripted/script", tags=["same"])
        self.agent = (await self.one("AgentService/CreateAgent", v1.CreateAgentRequest(agent=agent))).id

    async def send(self, text: str, **fields: Any) -> v1.Run:
        request = v1.CreateMessageAsyncRequest(agent_id=self.agent, input=v1.Content(text=text), **fields)
        run = await self.one("RunService/CreateMessageAsync", request)
        assert isinstance(run, v1.Run)
        return run

    async def until(self, run: v1.Run, until: v1.WaitUntil.ValueType = v1.WAIT_UNTIL_TERMINAL) -> v1.Run:
        wait = v1.WaitRunRequest(run_id=run.id, until=until, timeout=seconds(PATIENCE_S))
        told = await self.one("RunService/WaitRun", wait)
        assert isinstance(told, v1.Run)
        return told


@pytest.fixture
async def tenants(channel: grpc.aio.Channel) -> tuple[Tenant, Tenant]:
    alpha, beta = (Tenant(channel, name) for name in TENANTS)
    await alpha.settle()
    await beta.settle()
    return alpha, beta


async def test_the_same_words_of_two_tenants_are_two_requests(tenants: tuple[Tenant, Tenant]) -> None:
    runs = [await each.send(script(text=each.name), request_id="same") for each in tenants]
    assert len({run.id for run in runs}) == 2
    for tenant, run in zip(tenants, runs, strict=True):
        ended = await tenant.until(run)
        assert ended.status == v1.RUN_STATUS_COMPLETED
        found = await tenant.one("RunService/ListRuns", v1.ListRunsRequest(request_id="same"))
        assert [each.id for each in found.runs] == [run.id]
        tags = await tenant.one("AgentService/ListTags", v1.ListTagsRequest())
        assert list(tags.tags) == ["same"]


async def test_who_waits_for_a_slot_is_told_nothing_of_whose_run_has_it(tenants: tuple[Tenant, Tenant]) -> None:
    alpha, beta = tenants
    hanging = await alpha.send(script(text="x", hang=True), scheduling=v1.Scheduling(fairness_key="alpha-only"))
    await alpha.until(hanging, v1.WAIT_UNTIL_STARTED)
    waiting = await beta.send(script(text="fine"))

    answer = await beta.caller.call("RunService/ExplainRun", v1.ExplainRunRequest(run_id=waiting.id))
    stats = await beta.caller.call("OpsService/GetQueueStats", v1.GetQueueStatsRequest())
    for told in (answer, stats):
        assert "alpha" not in told.told
        assert hanging.id not in told.told
    explained = await beta.one("RunService/ExplainRun", v1.ExplainRunRequest(run_id=waiting.id))
    assert (list(explained.blocking_run_ids), explained.slot_queue.slots_used) == ([], 1)
    queue = await beta.one("OpsService/GetQueueStats", v1.GetQueueStatsRequest())
    assert sum(bucket.queued + bucket.blocked + bucket.running for bucket in queue.buckets) == 1

    await alpha.one("RunService/CancelRun", v1.CancelRunRequest(run_id=hanging.id))
    assert (await beta.until(waiting)).status == v1.RUN_STATUS_COMPLETED


async def test_a_pause_of_one_tenant_keeps_nothing_of_another(tenants: tuple[Tenant, Tenant]) -> None:
    alpha, beta = tenants
    await alpha.one("OpsService/PauseDispatch", v1.PauseDispatchRequest())
    kept = await alpha.send(script(text="later"))
    assert (await beta.until(await beta.send(script(text="now")))).status == v1.RUN_STATUS_COMPLETED
    run = await alpha.one("RunService/GetRun", v1.GetRunRequest(run_id=kept.id))
    assert run.status == v1.RUN_STATUS_CREATED
    await beta.one("OpsService/ResumeDispatch", v1.ResumeDispatchRequest())
    assert len((await alpha.one("OpsService/ListDispatchPauses", v1.ListDispatchPausesRequest())).pauses) == 1


async def test_a_mailbox_is_given_its_own_tenant_s_deliveries_alone(tenants: tuple[Tenant, Tenant]) -> None:
    frame = v1.ReceiveDeliveriesRequest
    boxes = []
    for tenant in tenants:
        made = v1.CreateEndpointRequest(endpoint=v1.CallbackEndpoint())
        boxes.append((await tenant.one("CallbackService/CreateEndpoint", made)).endpoint.id)
    runs = [await tenant.until(await tenant.send(script(text="fine"))) for tenant in tenants]
    for tenant, box, run in zip(tenants, boxes, runs, strict=True):
        listed = await tenant.one("CallbackService/ListDeliveries", v1.ListDeliveriesRequest())
        assert [each.run_id for each in listed.deliveries] == [run.id]
        subscribe = frame(subscribe=frame.Subscribe(endpoint_id=box))
        assert (await tenant.caller.first("CallbackService/ReceiveDeliveries", subscribe)).run.id == run.id


def test_an_id_has_at_least_72_bits_that_nobody_can_guess() -> None:
    """What is the same in a thousand ids could be known; and so could the time, which is in the front 48 bits."""
    made = [int(ids.new("run").removeprefix("run-").replace("-", ""), 16) for _ in range(1_000)]
    behind_the_time = (1 << 80) - 1
    ones, zeros = 0, 0
    for each in made:
        ones |= each & behind_the_time
        zeros |= ~each & behind_the_time
    assert (ones & zeros).bit_count() >= 72
