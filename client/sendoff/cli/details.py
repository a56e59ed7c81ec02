"""All of a thing that people look for, as named fields."""

from __future__ import annotations

from collections.abc import Iterator

from sendoff import v1
from sendoff.cli import wording


def of_endpoint(endpoint: v1.CallbackEndpoint) -> Iterator[tuple[str, str]]:
    """All of an endpoint."""
    yield "endpoint", endpoint.id
    yield "url", endpoint.url or "none: its deliveries are pulled"
    yield "events", ", ".join(endpoint.event_types)
    yield "agent", endpoint.agent_id or "all"
    yield "tells", "the run and its result" if endpoint.include_run else "ids and status"
    yield "status", wording.endpoint_status(endpoint)
    yield "description", endpoint.description
    yield "created", wording.moment(endpoint.create_time)
    yield "updated", wording.moment(endpoint.update_time)
    yield "etag", endpoint.etag


def of_delivery(told: v1.Delivery) -> Iterator[tuple[str, str]]:
    """All of a delivery but its attempts."""
    names = ("delivery", "event", "run", "to", "status", "attempts", "last attempt", "next attempt")
    yield from zip(names, wording.delivery(told), strict=True)
    yield "event's number", str(told.sequence)
    yield "written", wording.moment(told.create_time)


def of_run(run: v1.Run) -> Iterator[tuple[str, str]]:
    """All of a run that people look for."""
    yield "run", run.id
    yield "agent", run.agent_id
    yield "conversation", run.conversation_id
    yield "status", wording.status(run.status)
    yield "phase", wording.phase(run.phase)
    yield "waits for", wording.wait(run.wait) or ", ".join(wording.tool_call(each.call) for each in run.pending_actions)
    yield "stop reason", wording.stop_reason(run)
    yield "cancelled because", run.cancel_reason
    yield "continues", run.continues_run_id
    yield "continued by", run.continued_by_run_id
    yield "error", wording.failure(run)
    yield "steps", str(run.usage.step_count or "")
    yield "tokens", wording.tokens(run.usage)
    yield "cost", wording.cost(run.usage)
    yield "first token", wording.span(run.ttft_ns) if run.HasField("ttft_ns") else ""
    yield "duration", wording.span(run.total_duration_ns) if run.HasField("total_duration_ns") else ""
    yield "created", wording.moment(run.create_time)
    yield "ended", wording.moment(run.complete_time)
    yield "callback", wording.callback(run.callback) if run.HasField("callback") else ""
    yield "request id", run.request_id
    yield "trace", run.trace.trace_id
    yield "labels", wording.pairs(run.labels)


def of_step(taken: v1.Step) -> Iterator[tuple[str, str]]:
    """All of a step that people look for."""
    yield from zip(
        ("step", "status", "model", "tokens", "model time", "tool time", "tools", "error"),
        wording.step(taken),
        strict=True,
    )
    yield "run", taken.run_id
    yield "agent", taken.agent_id
    yield "cost", wording.cost(taken.usage)
    yield "feedback", wording.spelled(v1.StepFeedback.Name, "STEP_FEEDBACK_", taken.feedback)
    yield "tags", ", ".join(taken.tags)
    yield "began", wording.moment(taken.start_time)
    yield "ended", wording.moment(taken.end_time)
    yield "trace", taken.trace_id
    yield "provider's id", taken.provider_request_id


def of_agent(agent: v1.Agent) -> Iterator[tuple[str, str]]:
    """All of an agent that people look for."""
    yield "agent", agent.id
    yield "name", agent.name
    yield "model", agent.model
    yield "description", agent.description
    yield "system", agent.system
    yield "memory", ", ".join(agent.block_ids)
    yield "tools", ", ".join(agent.tool_ids)
    yield "tags", ", ".join(agent.tags)
    yield "created", wording.moment(agent.create_time)
    yield "updated", wording.moment(agent.update_time)


def of_block(block: v1.Block) -> Iterator[tuple[str, str]]:
    """All of a memory block that people look for but its value."""
    yield "block", block.id
    yield "label", block.label
    yield "description", block.description
    yield "read-only", "yes" if block.read_only else ""
    yield "characters", wording.filling(block)
    yield "tags", ", ".join(block.tags)
    yield "created", wording.moment(block.create_time)
    yield "updated", wording.moment(block.update_time)
    yield "etag", block.etag


def of_tool(tool: v1.Tool) -> Iterator[tuple[str, str]]:
    """All of a tool that people look for but its source code."""
    yield "tool", tool.id
    yield "name", tool.name
    yield "type", wording.tool_type(tool)
    yield "description", tool.description
    yield "arguments", tool.json_schema.json
    yield "needs approval", "yes" if tool.requires_approval else ""
    yield "effect", wording.tool_effect(tool)
    yield "timeout", f"{tool.timeout.ToTimedelta().total_seconds():g} s" if tool.HasField("timeout") else ""
    yield "shown at most", f"{tool.return_char_limit} characters" if tool.return_char_limit else ""
    yield "MCP server", tool.mcp_server
    yield "tags", ", ".join(tool.tags)
    yield "created", wording.moment(tool.create_time)
    yield "updated", wording.moment(tool.update_time)


def of_file(file: v1.File) -> Iterator[tuple[str, str]]:
    """All of a file but its bytes."""
    yield "file", file.id
    yield "name", file.name
    yield "type", file.media_type
    yield "bytes", str(file.size_bytes)
    yield "created", wording.moment(file.create_time)


def of_conversation(conversation: v1.Conversation) -> Iterator[tuple[str, str]]:
    """All of a conversation that people look for."""
    yield "conversation", conversation.id
    yield "agent", conversation.agent_id
    yield "summary", conversation.summary
    yield "description", conversation.description
    yield "model", conversation.model
    yield "works on", conversation.active_run_id
    yield "queued", str(conversation.queued_runs or "")
    yield "last message", wording.moment(conversation.last_message_time)
    yield "created", wording.moment(conversation.create_time)
    yield "updated", wording.moment(conversation.update_time)
    yield "archived", wording.moment(conversation.archive_time)
    yield "labels", wording.pairs(conversation.labels)
