"""Tool rules: what the rules of an agent make of the calls of a run. Pure; the loop asks, and acts on what it is told.

The calls that are asked about are those of the run so far, in the order in which the model made them, those of the runs
that it continues included: a continuation goes on where the run before it had stopped. `tool_order` has the rules about
order; here are those about the run's end, and the words.

- A called tool that has `exit_loop` ends the run (TOOL_RULE), unless a tool called in the same answer, it itself or
  another one, has `continue_loop`. It also ends a run in which a child was to come next.
- `required_before_exit` is stronger than both ways to end, words and `exit_loop`: an attempt is answered with a nudge.
  It gives way where it would be a dead end: to a denial of the tool, and where the rules allow no way to the tool.
- An agent that has a tool named `send_message` has `exit_loop` for it.
- Rules for tools that the agent does not have mean nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sendoff import v1
from sendoff_server.body import End
from sendoff_server.loop.tool_order import Became as Became
from sendoff_server.loop.tool_order import Call as Call
from sendoff_server.loop.tool_order import Choice as Choice
from sendoff_server.loop.tool_order import Order, last_run

SEND_MESSAGE = "send_message"
CONSTRAINT_ERROR = "[ToolConstraintError]"
"""How the return of a call begins that rules forbid."""

_QUOTED_OUTPUT = 200


@dataclass(frozen=True, slots=True)
class Onward:
    """How a run goes on after an answer: with its end, with a nudge, or, with neither, with the next step."""

    end: End | None = None
    nudge: str = ""
    """Content of a user message that tells the model why the run does not end: JSON text of an object."""


class Rules:
    """The rules of one agent that has these tools in a run."""

    def __init__(self, rules: Sequence[v1.ToolRule], tools: Sequence[str]) -> None:
        """`tools`: names of all tools that the run has, those of the request included."""
        known = frozenset(tools)
        self._rules = tuple(rule for rule in rules if rule.tool_name in known)
        self._order = Order(self._rules, tools)
        self._exits = self._named("exit_loop") | (known & {SEND_MESSAGE})
        self._goes_on = self._named("continue_loop")
        self._required = self._named("required_before_exit")
        self._approved = self._named("requires_approval")

    def _named(self, kind: str) -> set[str]:
        return {rule.tool_name for rule in self._rules if rule.WhichOneof("type") == kind}

    @property
    def told(self) -> list[str]:
        """What the model is to be told of the rules, one text for each that has a template."""
        return [
            rule.prompt_template.replace("{tool_name}", rule.tool_name) for rule in self._rules if rule.prompt_template
        ]

    # ---- before a model call ----

    def choice(self, calls: Sequence[Call], *, nudged: bool = False) -> Choice:
        """What the model may do now. `nudged`: its last answer was an attempt to end that was answered with a nudge, so
        that it has to call a tool, if it may call any."""
        choice = self._order.choice(calls)
        if nudged and choice.tools and self._unmet(calls):
            return Choice(choice.tools, must=True)
        return choice

    # ---- with an answer ----

    def refusals(self, calls: Sequence[Call], names: Sequence[str]) -> list[str | None]:
        """For each call of an answer None if it may run, else what it is to return (an error).

        `calls`: those before the answer. `names`: the tools that the answer calls, in its order. A call must have been
        allowed when the model was asked, and still be after those in front of it.
        """
        asked = frozenset(self._order.choice(calls).tools)
        so_far = list(calls)
        told: list[str | None] = []
        closed_by = ""
        for name in names:
            allowed = [tool for tool in self._order.choice(so_far).tools if tool in asked]
            if closed_by:
                told.append(_wait_for(name, closed_by))
            elif name not in allowed:
                told.append(_forbidden(name, allowed))
            else:
                told.append(None)
                so_far.append(Call(name))
                closed_by = name if self._order.closes(name) else ""
        return told

    def fixed_arguments(self, calls: Sequence[Call], name: str) -> Mapping[str, Any]:
        """Arguments that win over the model's, in a call of the tool that comes right after `calls` (those before its
        answer). To be put in before anybody is asked for an approval."""
        fixed: dict[str, Any] = {}
        last = last_run(calls)
        for rule in self._rules:
            if rule.HasField("run_first") and rule.tool_name == name and self._order.is_first(name, calls):
                fixed |= _arguments(rule.run_first.args)
            if last is not None and rule.tool_name == last.name:
                nodes = rule.constrain_child_tools.child_arg_nodes
                for node in nodes:
                    fixed |= _arguments(node.args) if node.name == name else {}
        return fixed

    def needs_approval(self, name: str) -> bool:
        """Whether a rule says that each call of the tool waits for an approval."""
        return name in self._approved

    # ---- after an answer ----

    def after_calls(self, calls: Sequence[Call], answer: Sequence[Call]) -> Onward:
        """How the run goes on after an answer that called tools. `calls`: those before the answer."""
        everything = [*calls, *answer]
        called = {call.name for call in answer if call.became is Became.RAN}
        exits = bool(called & self._exits) and not called & self._goes_on
        unmet = self._unmet(everything) if exits else ()
        if exits and not unmet:
            return Onward(end=End(v1.STOP_REASON_TOOL_RULE))
        if unmapped := self._order.unmapped(everything):
            return Onward(end=End(v1.STOP_REASON_ERROR, _not_mapped(unmapped)))
        return Onward(nudge=nudge_for(unmet)) if unmet else Onward()

    def after_words(self, calls: Sequence[Call]) -> Onward:
        """How the run goes on after an answer that called nothing, though it may have been asked to."""
        unmet = self._unmet(calls)
        return Onward(nudge=nudge_for(unmet)) if unmet else Onward(end=End(v1.STOP_REASON_END_TURN))

    def _unmet(self, calls: Sequence[Call]) -> tuple[str, ...]:
        if not self._required:
            return ()
        had = {call.name for call in calls if call.became is not Became.REFUSED}
        missing = self._required - had
        return tuple(sorted(missing & self._order.reachable(calls))) if missing else ()


def nudge_for(names: Sequence[str]) -> str:
    """The content of the message that answers an attempt to end before these tools were called."""
    reason = f"The turn cannot end yet. Call {_listed(names)} first: each is required before the end."
    return json.dumps({"type": "heartbeat", "reason": reason}, ensure_ascii=False)


def _forbidden(name: str, allowed: Sequence[str]) -> str:
    if not allowed:
        return f"{CONSTRAINT_ERROR} {name} cannot be called now, and no other tool can. Answer in words."
    return f"{CONSTRAINT_ERROR} {name} cannot be called now. Tools that can: {_listed(allowed)}."


def _wait_for(name: str, closed_by: str) -> str:
    told = f"what may be called after {closed_by} follows from its return. Call one tool at a time"
    return f"{CONSTRAINT_ERROR} {name} cannot be called together with {closed_by}: {told}."


def _not_mapped(call: Call) -> v1.RunError:
    output = call.output if len(call.output) <= _QUOTED_OUTPUT else call.output[:_QUOTED_OUTPUT] + "…"
    return v1.RunError(
        reason="TOOL_OUTPUT_NOT_MAPPED",
        message=f"a rule of the agent says which tool follows each output of {call.name}, and has none for {output!r}",
        metadata={"tool_name": call.name},
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def _arguments(args: v1.JsonObject) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(args.json) if args.json else {}
    return parsed
