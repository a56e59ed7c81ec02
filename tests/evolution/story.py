"""What a caller did with an older server: each call in the words of its contract, so that it is asked what it knew.

A part is left out whole where the contract has not its service. The calls come one after the other and wait for what
they need, so that the same ones can be made again.
"""

from __future__ import annotations

import json

from tests.evolution.callback_story import tell_of_callbacks
from tests.evolution.storyteller import NOBODY, Fields, Storyteller
from tests.evolution.tool_story import tell_of_tools


async def tell(story: Storyteller) -> None:
    """The whole story; it leaves an agent with its runs behind."""
    await story.call("OpsService/GetServerInfo")
    await story.call("ModelService/ListModels")
    agent = await _agents(story)
    await _a_run(story, agent)
    await _ends_of_runs(story, agent)
    await _refusals(story, agent)
    await _conversations(story, agent)
    if story.knows("ActionService/RespondToActions"):
        await tell_of_tools(story, agent)
    if story.knows("CallbackService/ReceiveDeliveries"):
        await tell_of_callbacks(story, agent)


async def _agents(story: Storyteller) -> str:
    metadata = {"json": '{"z": 1, "a": [true, null, 9007199254740993]}'}
    made = await story.call("AgentService/CreateAgent", agent={"name": "subject", "metadata": metadata})
    gone = await story.call("AgentService/CreateAgent", agent={"name": "gone", "tags": ["a", "b"]})
    await story.call("AgentService/GetAgent", agent_id=made.id)
    page = await story.call("AgentService/ListAgents", page_size=1)
    await story.call("AgentService/ListAgents", page_size=1, page_token=page.next_page_token)
    change = {"name": "changed", "tags": ["c"]}
    await story.call("AgentService/UpdateAgent", agent_id=made.id, agent=change, update_mask="name,tags")
    await story.call("AgentService/DeleteAgent", agent_id=gone.id)
    return str(made.id)


async def _a_run(story: Storyteller, agent: str) -> None:
    request: Fields = {
        "agent_id": agent,
        "input": {"text": "Why do ships have bells?"},
        "request_id": "ships-1",
        "labels": {"topic": "ships"},
        "metadata": {"json": '{"order": 7}'},
        "max_steps": 3,
    }
    run = await story.call("RunService/CreateMessageAsync", **request)
    await story.call("RunService/WatchRun", run_id=run.id, include_deltas=True)
    await story.call("RunService/WaitRun", run_id=run.id)
    await story.call("RunService/CreateMessageAsync", **request)
    await story.refused("RunService/CreateMessageAsync", **request | {"input": {"text": "Another question"}})
    await story.call("RunService/GetRun", run_id=run.id)
    await story.call("RunService/WatchRun", run_id=run.id, after_sequence="2")
    await story.call("RunService/WatchRun", run_id=run.id, snapshot=True)
    await story.call("RunService/ListRunEvents", run_id=run.id, page_size=2)
    await story.call("RunService/ListRunEvents", run_id=run.id, after_sequence="2")
    page = await story.call("RunService/ListRunMessages", run_id=run.id, page_size=1)
    await story.call("RunService/ListRunMessages", run_id=run.id, page_token=page.next_page_token)
    await story.call("RunService/ListRuns", agent_id=agent, statuses=["RUN_STATUS_COMPLETED"])
    if story.knows("StepService/ListSteps"):
        await story.call("StepService/ListSteps", run_id=run.id)


async def _ends_of_runs(story: Storyteller, agent: str) -> None:
    """One whose model fails, one that is cancelled, one with a picture and several messages."""
    await story.call("RunService/WaitRun", run_id=await _scripted(story, agent, error={"kind": "rejected"}))
    slow = await _scripted(story, agent, text="Never", first_delay_ms=60_000)
    await story.call("RunService/WaitRun", run_id=slow, until="WAIT_UNTIL_STARTED")
    await story.call("RunService/WaitRun", run_id=slow, changed_after_sequence="3")  # the model is being called
    await story.call("RunService/CancelRun", run_id=slow, reason="no time left")
    await story.call("RunService/WaitRun", run_id=slow)
    await story.call("RunService/WatchRun", run_id=slow)
    messages = [
        {"message": {"role": "ROLE_SYSTEM", "content": {"text": "You are brief."}, "otid": "otid-1"}},
        {"message": {"role": "ROLE_USER", "content": {"parts": {"parts": [{"text": {"text": "Hello"}}]}}}},
    ]
    run = await story.call("RunService/CreateMessageAsync", agent_id=agent, messages={"messages": messages})
    await story.call("RunService/WaitRun", run_id=run.id)
    await story.call("RunService/ListRunMessages", run_id=run.id)


async def _scripted(story: Storyteller, agent: str, **script: object) -> str:
    text = {"text": json.dumps({"script": script})}
    fields: Fields = {"agent_id": agent, "input": text, "override_model": "scripted/script"}
    return str((await story.call("RunService/CreateMessageAsync", **fields)).id)


async def _refusals(story: Storyteller, agent: str) -> None:
    await story.refused("RunService/GetRun", run_id=f"run-{NOBODY}")
    await story.refused("RunService/GetRun", run_id="run-1")
    await story.refused("RunService/CreateMessageAsync", agent_id=f"agent-{NOBODY}", input={"text": "Hello"})
    await story.refused("RunService/CreateMessageAsync", agent_id=agent, max_steps=100_000, top_logprobs=50)


async def _conversations(story: Storyteller, agent: str) -> None:
    about: Fields = {"summary": "On bells", "labels": {"a": "b"}}
    made = await story.call("ConversationService/CreateConversation", agent_id=agent, conversation=about)
    run = await story.call("RunService/CreateMessageAsync", conversation_id=made.id, input={"text": "Ding"})
    await story.call("RunService/WaitRun", run_id=run.id)
    await story.call("ConversationService/ListMessages", conversation_id=made.id)
    fork = await story.call("ConversationService/ForkConversation", conversation_id=made.id)
    change: Fields = {"conversation": {"summary": "On gongs"}, "update_mask": "summary"}
    await story.call("ConversationService/UpdateConversation", conversation_id=fork.id, **change)
    await story.call("ConversationService/GetConversation", conversation_id=fork.id)
    await story.call("ConversationService/ListConversations", agent_id=agent)
    await story.call("ConversationService/DeleteConversation", conversation_id=fork.id)
