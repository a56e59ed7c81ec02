"""The part of the story that came with tools: memory, approvals, steps, files, and more verbs for conversations."""

from __future__ import annotations

from typing import Any

from tests.evolution.storyteller import Fields, Storyteller

APPROVED_TOOL = "memory_insert"


async def tell_of_tools(story: Storyteller, agent: str) -> None:
    run, step = await _approvals(story)
    await _steps(story, run, step)
    await _blocks_and_files(story)
    await _own_tools(story, agent)
    await _history(story, agent)


async def _approvals(story: Storyteller) -> tuple[str, str]:
    """As in README.md: the agent asks before it writes down what it learns. The run that continued, and its step."""
    block = await story.call("BlockService/CreateBlock", block={"label": "human", "description": "Whom you talk to"})
    agent = await keeper(story, block.id)
    run = await story.call("RunService/CreateMessageAsync", agent_id=agent.id, input={"text": "I like ships."})
    stopped = await story.call("RunService/WaitRun", run_id=run.id)
    await story.call("ActionService/ListPendingActions", agent_id=agent.id)
    answer: Fields = {"tool_call_id": stopped.pending_actions[0].tool_call_id, "approve": True, "reason": "Of course"}
    where: Fields = {"conversation_id": "default", "agent_id": agent.id, "decisions": [{"approval": answer}]}
    answered = await story.call("ActionService/RespondToActions", **where)
    await story.call("RunService/WaitRun", run_id=answered.run.id)
    await story.call("RunService/WatchRun", run_id=run.id, follow_continuations=True)
    await story.call("RunService/ListRunMessages", run_id=answered.run.id)
    steps = await story.call("StepService/ListSteps", run_id=answered.run.id)
    await story.call("BlockService/GetBlock", block_id=block.id)
    await story.call("AgentService/CompileSystem", agent_id=agent.id)
    return answered.run.id, steps.steps[0].id


async def keeper(story: Storyteller, block_id: str) -> Any:
    """An agent that must write into the block first, and asks before it does."""
    tools = await story.call("ToolService/ListTools", names=[APPROVED_TOOL])
    arguments = {"json": '{"label": "human", "new_string": "Likes ships."}'}
    rules: list[Fields] = [{"run_first": {"args": arguments}}, {"requires_approval": {}}]
    agent = {
        "name": "keeper",
        "block_ids": [block_id],
        "tool_ids": [tools.tools[0].id],
        "tool_rules": [rule | {"tool_name": APPROVED_TOOL} for rule in rules],
        "model_settings": {"temperature": 0.5},
        "context_window_limit": 100_000,
    }
    return await story.call("AgentService/CreateAgent", agent=agent)


async def _steps(story: Storyteller, run_id: str, step_id: str) -> None:
    await story.call("StepService/GetStep", step_id=step_id)
    await story.call("StepService/ListStepMessages", step_id=step_id)
    tags: Fields = {"values": ["good"]}
    await story.call("StepService/UpdateStepFeedback", step_id=step_id, feedback="STEP_FEEDBACK_POSITIVE", tags=tags)
    await story.call("StepService/ListSteps", run_id=run_id, feedback="STEP_FEEDBACK_POSITIVE")


async def _blocks_and_files(story: Storyteller) -> None:
    block = await story.call("BlockService/CreateBlock", block={"label": "persona", "value": "Brief."})
    await story.call("BlockService/UpdateBlock", block_id=block.id, block={"value": "Long."}, update_mask="value")
    await story.call("BlockService/ListBlocks", label="persona")
    await story.call("BlockService/DeleteBlock", block_id=block.id)
    await story.call("AgentService/CountAgents", filter={"tags": ["c"]})
    await story.call("AgentService/ListTags")
    # The smallest picture that there is.
    picture = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
    file: Fields = {"file": {"name": "dot.gif", "media_type": "image/gif"}, "data": picture}
    made = await story.call("FileService/CreateFile", **file)
    await story.call("FileService/GetFile", file_id=made.id, include_data=True)
    await story.call("FileService/ListFiles")
    await story.call("FileService/DeleteFile", file_id=made.id)


async def _own_tools(story: Storyteller, agent: str) -> None:
    schema = {"json": '{"type": "object", "properties": {"city": {"type": "string"}}}'}
    tool: Fields = {"name": "weather", "type": "TOOL_TYPE_CLIENT", "json_schema": schema, "requires_approval": True}
    made = await story.call("ToolService/UpsertTool", tool=tool | {"effect": "TOOL_EFFECT_READ_ONLY"})
    await story.call("ToolService/GetTool", tool_id=made.id)
    await story.call("ToolService/DeleteTool", tool_id=made.id)
    await story.refused("ToolService/GetTool", tool_id=made.id)
    request: Fields = {
        "agent_id": agent,
        "override_model": "scripted/script",
        "input": {"text": '{"script": {"tool_calls": [{"name": "weather", "arguments": {"city": "Ulm"}}]}}'},
        "client_tools": [{"name": "weather", "description": "Tells it", "parameters": schema}],
    }
    run = await story.call("RunService/CreateMessageAsync", **request)
    stopped = await story.call("RunService/WaitRun", run_id=run.id)
    returned = {"tool_call_id": stopped.pending_actions[0].tool_call_id, "status": "TOOL_RETURN_STATUS_SUCCESS"}
    tool_return: Fields = {"tool_returns": [returned | {"tool_return": {"text": "rain"}}]}
    messages: Fields = {"messages": [{"tool_return": tool_return}]}
    answered = await story.call("RunService/CreateMessageAsync", agent_id=agent, messages=messages)
    await story.call("RunService/WaitRun", run_id=answered.id)


async def _history(story: Storyteller, agent: str) -> None:
    """What a conversation shows to its model, compacted and forgotten; and a run that is deleted."""
    where: Fields = {"conversation_id": "default", "agent_id": agent}
    context = await story.call("ConversationService/GetConversationContext", **where)
    await story.call("ConversationService/GetMessage", message_id=context.message_ids[-1])
    await story.call("ConversationService/CompactConversation", **where)
    await story.call("ConversationService/ResetConversation", **where)
    run = await story.call("RunService/CreateMessageAsync", agent_id=agent, input={"text": "Forget this"})
    await story.call("RunService/WaitRun", run_id=run.id)
    await story.call("RunService/DeleteRun", run_id=run.id)
    await story.refused("RunService/GetRun", run_id=run.id)
