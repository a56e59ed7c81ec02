"""The part of the story that came with callbacks and with what operators can do: endpoints, deliveries, pauses."""

from __future__ import annotations

from tests.evolution.storyteller import Storyteller


async def tell_of_callbacks(story: Storyteller, agent: str) -> None:
    await _deliveries(story, agent)
    await _endpoints(story)
    await _pauses(story, agent)


async def _deliveries(story: Storyteller, agent: str) -> None:
    made = await story.call("CallbackService/CreateEndpoint", endpoint={"include_run": True, "agent_id": agent})
    endpoint = made.endpoint.id
    run = await story.call("RunService/CreateMessageAsync", agent_id=agent, input={"text": "Call back"})
    await story.call("RunService/WaitRun", run_id=run.id)
    await story.pull(endpoint, 1)
    page = await story.call("CallbackService/ListDeliveries", endpoint_id=endpoint)
    await story.call("CallbackService/GetDelivery", delivery_id=page.deliveries[0].id)
    await story.call("CallbackService/GetEndpoint", endpoint_id=endpoint)
    await story.call("CallbackService/DeleteEndpoint", endpoint_id=endpoint)


async def _endpoints(story: Storyteller) -> None:
    """One that nothing is sent to but a test, which may find nobody there."""
    url = "http://127.0.0.1:65535/hook"
    made = await story.call("CallbackService/CreateEndpoint", endpoint={"url": url, "event_types": ["run.finished"]})
    endpoint = made.endpoint.id
    await story.call("CallbackService/Redeliver", endpoint_id=endpoint, since="2026-01-01T00:00:00Z")
    change = {"description": "Tells nobody", "disabled": True}
    mask = "description,disabled"
    await story.call("CallbackService/UpdateEndpoint", endpoint_id=endpoint, endpoint=change, update_mask=mask)
    await story.call("CallbackService/RotateSecret", endpoint_id=endpoint, overlap="60s")
    await story.call("CallbackService/ListEndpoints")
    await story.call("CallbackService/TestEndpoint", endpoint_id=endpoint)
    await story.call("CallbackService/DeleteEndpoint", endpoint_id=endpoint)


async def _pauses(story: Storyteller, agent: str) -> None:
    await story.call("OpsService/PauseDispatch", agent_id=agent, reason="looking")
    run = await story.call("RunService/CreateMessageAsync", agent_id=agent, input={"text": "Wait"})
    await story.call("RunService/ExplainRun", run_id=run.id)
    await story.call("OpsService/ListDispatchPauses")
    await story.call("OpsService/GetQueueStats")
    await story.call("OpsService/ResumeDispatch", agent_id=agent)
    await story.call("RunService/WaitRun", run_id=run.id)
