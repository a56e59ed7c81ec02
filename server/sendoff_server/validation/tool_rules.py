"""Rules of `ToolRule`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sendoff import v1
from sendoff_server.validation.json_object import check_json_object
from sendoff_server.validation.rules import check_items, check_length, check_number, check_size
from sendoff_server.validation.violations import Violations

MAX_TOOL_NAME_CHARACTERS = 64

_MAX_RULES = 256
_MAX_RULES_BYTES = 1024 * 1024
_MAX_CHILDREN = 256
_TEMPLATE_BYTES = 16_384
_KINDS = tuple(field.name for field in v1.ToolRule.DESCRIPTOR.oneofs_by_name["type"].fields)


def check_tool_rules(found: Violations, path: str, rules: Sequence[v1.ToolRule]) -> None:
    """Check all rules of an agent. Rules for tools that it does not have are let through, and mean nothing."""
    if not check_items(found, path, len(rules), most=_MAX_RULES):
        return
    size = sum(rule.ByteSize() for rule in rules)
    if size > _MAX_RULES_BYTES:
        found.add(path, f"must have at most {_MAX_RULES_BYTES} bytes in all, has {size}")
        return
    for index, rule in enumerate(rules):
        _check_rule(found, f"{path}[{index}]", rule)


def _check_rule(found: Violations, path: str, rule: v1.ToolRule) -> None:
    _check_name(found, path + ".tool_name", rule.tool_name)
    check_size(found, path + ".prompt_template", rule.prompt_template, most=_TEMPLATE_BYTES)
    kind = rule.WhichOneof("type")
    if kind is None:
        found.add(path, f"set one of {', '.join(_KINDS)}")
    elif check := _KIND_RULES.get(kind):
        check(found, f"{path}.{kind}", getattr(rule, kind))


def _check_first(found: Violations, path: str, first: v1.ToolRule.RunFirst) -> None:
    check_json_object(found, path + ".args", first.args)


def _check_constrain(found: Violations, path: str, constrain: v1.ToolRule.ConstrainChildTools) -> None:
    _check_children(found, path + ".children", constrain.children)
    for index, node in enumerate(constrain.child_arg_nodes):
        place = f"{path}.child_arg_nodes[{index}]"
        _check_name(found, place + ".name", node.name)
        check_json_object(found, place + ".args", node.args)


def _check_parent(found: Violations, path: str, parent: v1.ToolRule.ParentLastTool) -> None:
    _check_children(found, path + ".children", parent.children)


def _check_conditional(found: Violations, path: str, condition: v1.ToolRule.Conditional) -> None:
    path += ".child_output_mapping"
    count = len(condition.child_output_mapping)
    if count == 0:
        found.add(path, "must not be empty")
    elif count > _MAX_CHILDREN:
        found.add(path, f"must have at most {_MAX_CHILDREN} entries, has {count}")


def _check_count(found: Violations, path: str, count: v1.ToolRule.MaxCountPerStep) -> None:
    check_number(found, path + ".max_count_limit", count.max_count_limit, least=1)


def _check_children(found: Violations, path: str, children: Sequence[str]) -> None:
    if check_items(found, path, len(children), least=1, most=_MAX_CHILDREN):
        for index, child in enumerate(children):
            check_length(found, f"{path}[{index}]", child, most=MAX_TOOL_NAME_CHARACTERS)


def _check_name(found: Violations, path: str, name: str) -> None:
    check_length(found, path, name, least=1, most=MAX_TOOL_NAME_CHARACTERS)


_KIND_RULES: dict[str, Callable[[Violations, str, Any], None]] = {
    "run_first": _check_first,
    "constrain_child_tools": _check_constrain,
    "parent_last_tool": _check_parent,
    "conditional": _check_conditional,
    "max_count_per_step": _check_count,
}
"""Kinds that have fields."""
