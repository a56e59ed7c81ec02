"""The steps of a run, read over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest

from sendoff import v1
from sendoff.v1.step_service_pb2_grpc import StepServiceStub
from tests.faults.caller import Caller, calling, refused, script
from tests.fixtures.server import Serve

UNKNOWN_RUN = "run-00000000-0000-4000-8000-000000000000"
UNKNOWN_STEP = "step-00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def rig(serve: Serve) -> AsyncIterator[tuple[Caller, StepServiceStub]]:
    async with (
        serve() as server,
        calling(server.grpc.address) as caller,
        grpc.aio.insecure_channel(server.grpc.address) as channel,
    ):
        yield caller, StepServiceStub(channel)


async def steps_of(steps: StepServiceStub, run_id: str) -> list[v1.Step]:
    return list((await steps.ListSteps(v1.ListStepsRequest(run_id=run_id))).steps)


async def test_a_step_tells_the_model_and_what_it_used(rig: tuple[Caller, StepServiceStub]) -> None:
    caller, steps = rig
    run = await caller.ended((await caller.send(await caller.agent("scripted/echo"), "hello")).id)
    (step,) = await steps_of(steps, run.id)
    assert (step.run_id, step.index, step.attempt) == (run.id, 0, 1)
    assert step.usage.total_tokens == run.usage.total_tokens > 0
    assert await steps.GetStep(v1.GetStepRequest(step_id=step.id)) == step
    listed = await caller.runs.ListRunMessages(v1.ListRunMessagesRequest(run_id=run.id))
    assert listed.messages[-1].step_id == step.id


async def test_a_run_that_failed_has_a_step_that_says_so(rig: tuple[Caller, StepServiceStub]) -> None:
    caller, steps = rig
    failing = script(error={"kind": "rejected"})
    run = await caller.ended((await caller.send(await caller.agent(), failing)).id)
    assert run.status == v1.RUN_STATUS_FAILED
    (step,) = await steps_of(steps, run.id)
    assert step.stop_reason == run.stop_reason


async def test_a_run_that_waits_has_no_steps(rig: tuple[Caller, StepServiceStub]) -> None:
    caller, steps = rig
    agent_id = await caller.agent()
    head = await caller.send(agent_id, script(words=5, delay_ms=60_000))
    waiting = await caller.send(agent_id, script(text="never"))
    assert await steps_of(steps, waiting.id) == []
    await caller.cancel(waiting.id)
    await caller.cancel(head.id)


async def test_steps_and_runs_that_do_not_exist_are_not_found(rig: tuple[Caller, StepServiceStub]) -> None:
    _, steps = rig
    step = await refused(steps.GetStep(v1.GetStepRequest(step_id=UNKNOWN_STEP)))
    assert (step.code, step.reason) == (grpc.StatusCode.NOT_FOUND, "STEP_NOT_FOUND")
    run = await refused(steps.ListSteps(v1.ListStepsRequest(run_id=UNKNOWN_RUN)))
    assert (run.code, run.reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")
