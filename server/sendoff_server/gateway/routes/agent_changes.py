"""Changes of an agent that depend on what it has, made so that others' changes at the same time are not lost."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.field_mask_pb2 import FieldMask

from sendoff import v1
from sendoff_server.access.principal import acting
from sendoff_server.errors import EtagMismatch
from sendoff_server.use_cases import UseCases

ATTEMPTS = 100
"""Each that fails means that somebody else's change was made."""

_FIELDS = ("tool_ids", "block_ids", "tool_rules")

Change = Callable[[v1.Agent], None]
"""Changes these fields of the agent that it is given; if others were quicker, it is given the agent as it is then."""


async def changed(use_cases: UseCases, agent_id: str, change: Change) -> v1.Agent:
    """The agent with the change, which is made on what it was made from or not at all. Raises AgentNotFound,
    InvalidRequest, and EtagMismatch if others were quicker time after time."""
    for _ in range(ATTEMPTS):
        current = await use_cases.agents.get(acting().tenant, v1.GetAgentRequest(agent_id=agent_id))
        wanted = v1.Agent()
        wanted.CopyFrom(current)
        change(wanted)
        paths = [field for field in _FIELDS if getattr(wanted, field) != getattr(current, field)]
        if not paths:
            return current
        request = v1.UpdateAgentRequest(agent_id=agent_id, agent=wanted, update_mask=FieldMask(paths=paths))
        try:
            return await use_cases.agents.update(acting().tenant, request)
        except EtagMismatch as error:
            overtaken = error
    raise overtaken


# ---- tools ----

SENT_BY = "send_message"
"""The tool by which agents of old answer: their runs end after it."""


def attach_tool(tool: v1.Tool) -> Change:
    def change(agent: v1.Agent) -> None:
        if tool.id not in agent.tool_ids:
            agent.tool_ids.append(tool.id)
        if tool.name == SENT_BY and not _has_rule(agent, tool.name, "exit_loop"):
            agent.tool_rules.add(tool_name=tool.name).exit_loop.SetInParent()

    return change


def detach_tool(tool_id: str) -> Change:
    def change(agent: v1.Agent) -> None:
        if tool_id in agent.tool_ids:
            agent.tool_ids.remove(tool_id)

    return change


def require_approval(tool_name: str, *, required: bool) -> Change:
    """Of any name, be there such a tool or not."""

    def change(agent: v1.Agent) -> None:
        if required and not _has_rule(agent, tool_name, "requires_approval"):
            agent.tool_rules.add(tool_name=tool_name).requires_approval.SetInParent()
        elif not required:
            kept = [rule for rule in agent.tool_rules if not _is_rule(rule, tool_name, "requires_approval")]
            del agent.tool_rules[:]
            agent.tool_rules.extend(kept)

    return change


def _has_rule(agent: v1.Agent, tool_name: str, kind: str) -> bool:
    return any(_is_rule(rule, tool_name, kind) for rule in agent.tool_rules)


def _is_rule(rule: v1.ToolRule, tool_name: str, kind: str) -> bool:
    return rule.tool_name == tool_name and rule.WhichOneof("type") == kind


# ---- memory blocks ----


def attach_block(block_id: str) -> Change:
    def change(agent: v1.Agent) -> None:
        if block_id not in agent.block_ids:
            agent.block_ids.append(block_id)

    return change


def detach_block(block_id: str) -> Change:
    def change(agent: v1.Agent) -> None:
        if block_id in agent.block_ids:
            agent.block_ids.remove(block_id)

    return change
