"""Tool rules are kept with their agent, and change like any other part of it."""

from __future__ import annotations

from google.protobuf.field_mask_pb2 import FieldMask
from grpc.aio import Channel

from sendoff import v1
from sendoff.v1.agent_service_pb2_grpc import AgentServiceStub

EXITS = v1.ToolRule(tool_name="tell", exit_loop=v1.ToolRule.ExitLoop(), prompt_template="End with {tool_name}.")
AT_MOST = v1.ToolRule(tool_name="look", max_count_per_step=v1.ToolRule.MaxCountPerStep(max_count_limit=2))


async def test_an_agent_has_its_rules_until_they_are_changed(channel: Channel) -> None:
    agents: AgentServiceStub = AgentServiceStub(channel)
    made = await agents.CreateAgent(v1.CreateAgentRequest(agent=v1.Agent(tool_rules=[EXITS, AT_MOST])))
    assert list(made.tool_rules) == [EXITS, AT_MOST]

    other = v1.UpdateAgentRequest(agent_id=made.id, agent=v1.Agent(name="Ines"))
    assert list((await agents.UpdateAgent(other)).tool_rules) == [EXITS, AT_MOST]

    fewer = v1.UpdateAgentRequest(agent_id=made.id, agent=v1.Agent(tool_rules=[AT_MOST]))
    assert list((await agents.UpdateAgent(fewer)).tool_rules) == [AT_MOST]

    none = v1.UpdateAgentRequest(agent_id=made.id, agent=v1.Agent(), update_mask=FieldMask(paths=["tool_rules"]))
    await agents.UpdateAgent(none)
    assert list((await agents.GetAgent(v1.GetAgentRequest(agent_id=made.id))).tool_rules) == []
