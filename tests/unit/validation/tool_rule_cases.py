"""Rules of `ToolRule`, each with a value that breaks it and one that just does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sendoff import v1
from tests.unit.validation.rule_cases import KIB, MIB, Field, agent, bounds, characters, size

Rule = v1.ToolRule
RULE = "agent.tool_rules[0]"
LONG, FITS = "é" * 65, "é" * 64


def with_rules(rules: Sequence[Rule]) -> v1.CreateAgentRequest:
    return agent(tool_rules=rules)


def with_rule(**fields: Any) -> v1.CreateAgentRequest:
    given: dict[str, Any] = {"tool_name": "look", "exit_loop": Rule.ExitLoop()}
    return with_rules([Rule(**(given | fields))])


def constrain(**fields: Any) -> v1.CreateAgentRequest:
    given: dict[str, Any] = {"children": ["pay"]}
    return with_rules([Rule(tool_name="look", constrain_child_tools=Rule.ConstrainChildTools(**(given | fields)))])


def mapping(count: int) -> v1.CreateAgentRequest:
    condition = Rule.Conditional(child_output_mapping={f"output {number}": "pay" for number in range(count)})
    return with_rules([Rule(tool_name="look", conditional=condition)])


def rules_of(total_bytes: int) -> list[Rule]:
    def rule(template_characters: int) -> Rule:
        return Rule(tool_name="look", prompt_template="x" * template_characters, exit_loop=Rule.ExitLoop())

    rules = [rule(16_000)] * 65
    missing = total_bytes - sum(each.ByteSize() for each in rules)
    return [*rules, rule(missing - (rule(1_000).ByteSize() - 1_000))]


TOOL_RULES: Sequence[Field] = (
    Field(
        "Agent.tool_rules",
        "agent.tool_rules",
        with_rules,
        {
            "repeated.max_items = 256": (
                [Rule(tool_name="look", exit_loop=Rule.ExitLoop())] * 257,
                [Rule(tool_name="look", exit_loop=Rule.ExitLoop())] * 256,
            ),
            "at most 1048576 bytes in all": (rules_of(MIB + 1), rules_of(MIB)),
        },
    ),
    Field("ToolRule.tool_name", f"{RULE}.tool_name", lambda v: with_rule(tool_name=v), characters(64, least=1)),
    Field(
        "ToolRule.prompt_template",
        f"{RULE}.prompt_template",
        lambda v: with_rule(prompt_template=v),
        size(16 * KIB),
    ),
    Field(
        "ToolRule.type",
        RULE,
        lambda v: with_rules([Rule(tool_name="look", **v)]),
        {"one is required": ({}, {"continue_loop": Rule.ContinueLoop()})},
    ),
    Field(
        "ToolRule.ChildArguments.name",
        f"{RULE}.constrain_child_tools.child_arg_nodes[0].name",
        lambda v: constrain(child_arg_nodes=[Rule.ChildArguments(name=v)]),
        characters(64, least=1),
    ),
    Field(
        "ToolRule.ConstrainChildTools.children",
        f"{RULE}.constrain_child_tools.children",
        lambda v: constrain(children=v),
        {"repeated.min_items = 1": ([], ["pay"]), "repeated.max_items = 256": (["pay"] * 257, ["pay"] * 256)},
    ),
    Field(
        "ToolRule.ConstrainChildTools.children",
        f"{RULE}.constrain_child_tools.children[0]",
        lambda v: constrain(children=v),
        {"items.string.max_len = 64": ([LONG], [FITS])},
    ),
    Field(
        "ToolRule.ParentLastTool.children",
        f"{RULE}.parent_last_tool.children",
        lambda v: with_rules([Rule(tool_name="look", parent_last_tool=Rule.ParentLastTool(children=v))]),
        {"as ConstrainChildTools.children": ([], ["pay"])},
    ),
    Field(
        "ToolRule.Conditional.child_output_mapping",
        f"{RULE}.conditional.child_output_mapping",
        mapping,
        {"map.min_pairs = 1": (0, 1), "map.max_pairs = 256": (257, 256)},
    ),
    Field(
        "ToolRule.MaxCountPerStep.max_count_limit",
        f"{RULE}.max_count_per_step.max_count_limit",
        lambda v: with_rules([Rule(tool_name="look", max_count_per_step=Rule.MaxCountPerStep(max_count_limit=v))]),
        bounds("int32", least=1),
    ),
)
