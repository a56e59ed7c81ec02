"""Which tools may follow which, and how often: the rules about order, as pure functions of the calls so far.

How the rules are read:

- Only calls that ran count. One that was refused (forbidden, arguments that cannot be used) changes nothing.
- Several rules must all hold: what may follow a tool is what each of its rules lets follow.
- Of the calls of one answer the last one decides what may follow. A tool with a rule about what follows it closes its
  answer: what comes behind it in the same answer was written without its return, and is refused.
- `run_first`: until a tool has run, only the tools with this rule, and one of them must come.
- `constrain_child_tools`, and `conditional` where its output is mapped: one of the children must come next. Where an
  output is mapped to nothing and nothing is the default, any tool may come, and none must.
- `parent_last_tool` forbids its children elsewhere. It neither forces them nor forbids others in their place.
- Whether a call must come gives way where it would be a dead end: if the rules together allow no tool, or if somebody
  has denied a call since the last one that ran. Then the agent may answer in words. What is forbidden stays forbidden.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from sendoff import v1


class Became(Enum):
    """What became of a call."""

    RAN = "ran"
    """The tool was called, whatever came of it."""
    REFUSED = "refused"
    """It did not begin: rules forbade it, there is no such tool, or its arguments could not be used."""
    DENIED = "denied"
    """Whoever was asked for an approval said no, or nothing."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool that a run has made."""

    name: str
    became: Became = Became.RAN
    output: str = ""
    """The text that the tool returned."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a model may do next."""

    tools: tuple[str, ...]
    """It may call these, in the order in which the agent has them."""
    must: bool
    """Its answer has to call one of them; never without any."""


class Order:
    """The rules about order of one agent that has these tools."""

    def __init__(self, rules: Iterable[v1.ToolRule], tools: Sequence[str]) -> None:
        self._tools = tuple(dict.fromkeys(tools))
        self._known = frozenset(tools)
        self._first: set[str] = set()
        self._children: defaultdict[str, list[frozenset[str]]] = defaultdict(list)
        self._conditions: defaultdict[str, list[v1.ToolRule.Conditional]] = defaultdict(list)
        self._parents: defaultdict[str, set[str]] = defaultdict(set)
        self._most: dict[str, int] = {}
        for rule in rules:
            if rule.tool_name in self._known:
                self._add(rule)

    def _add(self, rule: v1.ToolRule) -> None:
        name = rule.tool_name
        match rule.WhichOneof("type"):
            case "run_first":
                self._first.add(name)
            case "constrain_child_tools":
                self._children[name].append(frozenset(rule.constrain_child_tools.children))
            case "conditional":
                self._conditions[name].append(rule.conditional)
            case "parent_last_tool":
                for child in rule.parent_last_tool.children:
                    self._parents[child].add(name)
            case "max_count_per_step":
                limit = rule.max_count_per_step.max_count_limit
                self._most[name] = min(limit, self._most.get(name, limit))

    def choice(self, calls: Sequence[Call]) -> Choice:
        """What may come after these calls of the run, in the order in which the model made them."""
        last = last_run(calls)
        demands = self._demands(last)
        allowed = self._in_all(demands, last.name if last else None, self._spent(calls))
        tools = tuple(tool for tool in self._tools if tool in allowed)
        denied = any(call.became is Became.DENIED for call in calls[_behind_last_run(calls) :])
        return Choice(tools, must=bool(demands) and bool(tools) and not denied)

    def is_first(self, name: str, calls: Sequence[Call]) -> bool:
        """Whether a call of the tool, now, is the one that `run_first` asks for."""
        return name in self._first and last_run(calls) is None

    def closes(self, name: str) -> bool:
        """Whether there is a rule about what follows the tool."""
        return name in self._children or name in self._conditions

    def unmapped(self, calls: Sequence[Call]) -> Call | None:
        """The last call that ran, if its output had to be mapped to a tool and is not."""
        last = last_run(calls)
        if last is None:
            return None
        conditions = self._conditions.get(last.name, ())
        return last if any(_is_unmapped(condition, last.output) for condition in conditions) else None

    def reachable(self, calls: Sequence[Call]) -> set[str]:
        """Tools that may be called now, or once others have been, whatever those return; a few too many, because what
        is called on the way does not count against the limits here."""
        spent = self._spent(calls)
        found = set(self.choice(calls).tools)
        edge = list(found)
        while edge and len(found) < len(self._known):
            name = edge.pop()
            new = self._in_all(self._possible(name), name, spent) - found
            found |= new
            edge += new
        return found

    def _demands(self, last: Call | None) -> list[frozenset[str]]:
        """Sets of tools, in each of which the next call must be."""
        if last is None:
            return [frozenset(self._first)] if self._first else []
        mapped = (child_for(condition, last.output) for condition in self._conditions.get(last.name, ()))
        return [*self._children.get(last.name, ()), *(frozenset({child}) for child in mapped if child is not None)]

    def _possible(self, name: str) -> list[frozenset[str]]:
        """The demands after a tool whose output is not known: each of the widest kind."""
        conditions = (
            c for c in self._conditions.get(name, ()) if c.HasField("default_child") or c.require_output_mapping
        )
        widest = (frozenset({*c.child_output_mapping.values(), c.default_child}) for c in conditions)
        return [*self._children.get(name, ()), *widest]

    def _in_all(self, demands: Sequence[frozenset[str]], last: str | None, spent: set[str]) -> set[str]:
        """The tools that may come after `last` and are in every one of the sets."""
        wanted = self._known.intersection(*demands)
        return {
            tool for tool in wanted if tool not in spent and (tool not in self._parents or last in self._parents[tool])
        }

    def _spent(self, calls: Sequence[Call]) -> set[str]:
        """Tools that were called as often as they may be."""
        if not self._most:
            return set()
        counts = Counter(call.name for call in calls if call.became is Became.RAN)
        return {tool for tool, most in self._most.items() if counts[tool] >= most}


def last_run(calls: Sequence[Call]) -> Call | None:
    """The last one that ran; None if none did."""
    behind = _behind_last_run(calls)
    return calls[behind - 1] if behind else None


def child_for(condition: v1.ToolRule.Conditional, output: str) -> str | None:
    """The tool that the rule sends a run to after that output; None for any.

    A key stands for the output if it is the same text, the text that the output holds as JSON, or JSON for an equal
    value: the key `{"a": 1}` stands for the output `{"a":1}`, the key `done` for the output `"done"`.
    """
    mapping = condition.child_output_mapping
    if output in mapping:
        return mapping[output]
    value = _parsed(output)
    if value is not _NOT_JSON:
        if isinstance(value, str) and value in mapping:
            return mapping[value]
        for key in sorted(mapping):
            if _is_same(_parsed(key), value):
                return mapping[key]
    return condition.default_child if condition.HasField("default_child") else None


def _is_unmapped(condition: v1.ToolRule.Conditional, output: str) -> bool:
    return condition.require_output_mapping and child_for(condition, output) is None


_NOT_JSON = object()


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NOT_JSON


def _is_same(one: object, other: object) -> bool:
    """Equal as JSON: unlike in Python, true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return one == other


def _behind_last_run(calls: Sequence[Call]) -> int:
    for index in range(len(calls), 0, -1):
        if calls[index - 1].became is Became.RAN:
            return index
    return 0
