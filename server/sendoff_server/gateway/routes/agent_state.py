"""An agent as an answer tells it: with those of its relations that were asked for."""

from __future__ import annotations

from typing import Any

from sendoff import v1
from sendoff_server.access.principal import acting
from sendoff_server.access.secrets import as_told
from sendoff_server.errors import InvalidRequest, ModelNotFound, Violation
from sendoff_server.gateway.asked import Query
from sendoff_server.gateway.nouns.agents import Relations, agent_json
from sendoff_server.gateway.nouns.blocks import block_json
from sendoff_server.gateway.nouns.messages import message_json
from sendoff_server.gateway.nouns.results import messages_of
from sendoff_server.gateway.nouns.tools import tool_json
from sendoff_server.gateway.routes.belongings import blocks_of, tools_of
from sendoff_server.use_cases import UseCases

INCLUDES = (
    "agent.blocks",
    "agent.identities",
    "agent.managed_group",
    "agent.pending_approval",
    "agent.secrets",
    "agent.sources",
    "agent.tags",
    "agent.tools",
)


def includes_of(query: Query) -> frozenset[str]:
    """Which relations a query asks for. Raises InvalidRequest, also for what else was wrong with the query so far."""
    told = query.texts("include", "include[]")
    wrong = [name for name in told if name not in INCLUDES]
    if wrong:
        raise InvalidRequest([Violation("include", f"must be one of {', '.join(INCLUDES)}")])
    query.checked()
    return frozenset(told)


async def told(use_cases: UseCases, agent: v1.Agent, includes: frozenset[str]) -> dict[str, Any]:
    """The agent, with what became of its last run."""
    listed = v1.ListAgentsRequest(filter=v1.AgentFilter(agent_ids=[agent.id]))
    last_runs = (await use_cases.agents.list(acting().tenant, listed)).last_runs
    return await told_with(use_cases, agent, includes, last_runs[0] if last_runs else None)


async def told_with(
    use_cases: UseCases, agent: v1.Agent, includes: frozenset[str], last_run: v1.LastRun | None
) -> dict[str, Any]:
    """As `told`, where the last run is known."""
    relations = Relations(
        last_run=_run(last_run) if last_run is not None else None,
        tags="agent.tags" in includes,
        secrets="agent.secrets" in includes,
        model=await _model(use_cases, agent.model),
        blocks=list(map(block_json, await blocks_of(use_cases, agent))) if "agent.blocks" in includes else (),
        tools=list(map(tool_json, await tools_of(use_cases, agent))) if "agent.tools" in includes else (),
        pending_approval=await _pending(use_cases, agent.id) if "agent.pending_approval" in includes else None,
    )
    return agent_json(as_told(agent), relations)


def _run(last_run: v1.LastRun) -> v1.Run:
    """As much of the run as an agent tells."""
    return v1.Run(
        id=last_run.run_id,
        complete_time=last_run.complete_time,
        stop_reason=last_run.stop_reason,
        total_duration_ns=last_run.duration.ToNanoseconds(),
    )


async def _pending(use_cases: UseCases, agent_id: str) -> dict[str, Any] | None:
    """The request that the agent's default conversation waits for an answer to."""
    wanted = v1.ListPendingActionsRequest(agent_id=agent_id, conversation_id="default", page_size=1)
    actions = (await use_cases.actions.list(acting().tenant, wanted)).actions
    if not actions:
        return None
    found = await messages_of(use_cases, acting().tenant, actions[0].run_id)
    return next((message_json(each) for each in found if each.HasField("approval_request_message")), None)


async def _model(use_cases: UseCases, handle: str) -> v1.Model:
    try:
        return (await use_cases.models.find(handle)).info
    except ModelNotFound:
        return v1.Model(handle=handle)
