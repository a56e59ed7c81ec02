"""The tools that a run has, and what is to become of the calls that a model makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from sendoff import v1
from sendoff_server.context import tokens
from sendoff_server.loop.arguments import BadArguments, checked, merged
from sendoff_server.loop.rules import CONSTRAINT_ERROR, Call, Rules
from sendoff_server.models.port import ToolSpec

_ANY_OBJECT = '{"type": "object", "properties": {}}'


class Toolbox(Protocol):
    """Where the loop finds the tools of agents."""

    async def tools_of(self, tenant: str, agent: v1.Agent) -> Sequence[v1.Tool]:
        """The agent's tools in the order of `tool_ids`, without those that do not exist any more."""
        ...


class Held(Enum):
    """What a call waits for from outside."""

    APPROVAL = v1.ACTION_KIND_APPROVAL
    CLIENT = v1.ACTION_KIND_CLIENT_TOOL


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A call, and what is to become of it: it is refused, held, or made."""

    call: v1.ToolCall
    tool: v1.Tool | None
    arguments: Mapping[str, Any]
    refusal: str = ""
    """What it is to return, an error. Empty: it is not refused."""
    held: Held | None = None


class Toolset:
    """The tools of one run."""

    def __init__(
        self, tools: Sequence[v1.Tool], client_tools: Sequence[v1.ClientTool], rules: Sequence[v1.ToolRule]
    ) -> None:
        """A client tool takes the place of a tool of the same name."""
        by_name = {tool.name: tool for tool in tools}
        by_name |= {tool.name: _of_client(tool) for tool in client_tools}
        self._tools: Mapping[str, v1.Tool] = by_name
        self.names: Sequence[str] = list(by_name)
        self.rules = Rules(rules, self.names) if by_name else _NO_RULES

    def specs(self, names: Sequence[str]) -> list[ToolSpec]:
        """Those tools as a model is told of them."""
        return [_spec(self._tools[name]) for name in names]

    def with_fixed_arguments(self, calls: Sequence[v1.ToolCall], before: Sequence[Call]) -> list[v1.ToolCall]:
        """The calls of an answer, with the arguments in them that rules lay down. `before`: the calls of the run before
        it."""
        return [merged(call, self.rules.fixed_arguments(before, call.name)) for call in calls]

    def planned(self, calls: Sequence[v1.ToolCall], before: Sequence[Call]) -> list[Planned]:
        """What is to become of the calls of an answer, by the rules. `before`: the calls of the run before it."""
        refusals = self.rules.refusals(before, [call.name for call in calls])
        return [self._planned(call, refusal) for call, refusal in zip(calls, refusals, strict=True)]

    def _planned(self, call: v1.ToolCall, refusal: str | None) -> Planned:
        plan = self.settled(call) if refusal is None else Planned(call=call, tool=None, arguments={}, refusal=refusal)
        if plan.refusal or plan.tool is None:
            return plan
        held = self._held(plan.tool)
        return Planned(call=call, tool=plan.tool, arguments=plan.arguments, held=held) if held else plan

    def settled(self, call: v1.ToolCall) -> Planned:
        """A call that nothing holds back any more, and that rules have let pass when it was made."""
        tool = self._tools.get(call.name)
        if tool is None:
            told = f"{CONSTRAINT_ERROR} there is no tool {call.name}. Tools that there are: {', '.join(self._tools)}."
            return Planned(call=call, tool=None, arguments={}, refusal=told)
        try:
            arguments = checked(call, tool)
        except BadArguments as bad:
            return Planned(call=call, tool=tool, arguments={}, refusal=str(bad))
        return Planned(call=call, tool=tool, arguments=arguments)

    def _held(self, tool: v1.Tool) -> Held | None:
        if tool.type == v1.TOOL_TYPE_CLIENT:
            return Held.CLIENT
        return Held.APPROVAL if tool.requires_approval or self.rules.needs_approval(tool.name) else None


_NO_RULES = Rules((), ())
"""Rules for tools that the agent does not have mean nothing."""
NO_TOOLS = Toolset((), (), ())


def _of_client(tool: v1.ClientTool) -> v1.Tool:
    parameters = tool.parameters if tool.HasField("parameters") else None
    return v1.Tool(name=tool.name, description=tool.description, json_schema=parameters, type=v1.TOOL_TYPE_CLIENT)


def _spec(tool: v1.Tool) -> ToolSpec:
    return ToolSpec(tool.name, tool.description, tool.json_schema.json or _ANY_OBJECT)


def tokens_of(specs: Sequence[ToolSpec]) -> int:
    """About how many tokens of a model's window it takes to tell it of them."""
    return sum(
        tokens.of_text(spec.name) + tokens.of_text(spec.description) + tokens.of_json(spec.parameters) for spec in specs
    )
