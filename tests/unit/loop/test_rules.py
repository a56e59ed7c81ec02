"""Tool rules: what may be called, what must be, what ends a run, and that no rules are a dead end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendoff import v1
from sendoff_server.loop.rules import Became, Call, Choice, Onward, Rules
from sendoff_server.loop.tool_order import child_for

Rule = v1.ToolRule
TOOLS = ("look", "book", "pay", "tell")

FIRST_LOOK = Rule(tool_name="look", run_first=Rule.RunFirst())
TELL_EXITS = Rule(tool_name="tell", exit_loop=Rule.ExitLoop())
PAY_REQUIRED = Rule(tool_name="pay", required_before_exit=Rule.RequiredBeforeExit())


def children(tool: str, *names: str) -> Rule:
    return Rule(tool_name=tool, constrain_child_tools=Rule.ConstrainChildTools(children=names))


def only_after(tool: str, *names: str) -> Rule:
    return Rule(tool_name=tool, parent_last_tool=Rule.ParentLastTool(children=names))


def at_most(tool: str, limit: int) -> Rule:
    return Rule(tool_name=tool, max_count_per_step=Rule.MaxCountPerStep(max_count_limit=limit))


def conditional(tool: str, mapping: dict[str, str], default: str | None = None, require: bool = False) -> Rule:
    condition = Rule.Conditional(child_output_mapping=mapping, default_child=default, require_output_mapping=require)
    return Rule(tool_name=tool, conditional=condition)


def rules(*given_rules: Rule, tools: Sequence[str] = TOOLS) -> Rules:
    return Rules(given_rules, tools)


def ran(*names: str) -> list[Call]:
    return [Call(name) for name in names]


def test_without_rules_every_tool_may_be_called_and_none_must() -> None:
    assert rules().choice([]) == rules().choice(ran("look", "pay")) == Choice(TOOLS, must=False)


def test_without_tools_nothing_may_or_must_be_called() -> None:
    assert rules(FIRST_LOOK, tools=()).choice([]) == Choice((), must=False)


# ---- run_first ----


def test_a_run_begins_with_the_tool_that_comes_first_and_is_free_after_it() -> None:
    engine = rules(FIRST_LOOK)
    assert engine.choice([]) == Choice(("look",), must=True)
    assert engine.choice(ran("look")) == Choice(TOOLS, must=False)


def test_of_several_that_come_first_one_must_be_called() -> None:
    engine = rules(FIRST_LOOK, Rule(tool_name="pay", run_first=Rule.RunFirst()))
    assert engine.choice([]) == Choice(("look", "pay"), must=True)
    assert engine.choice(ran("pay")) == Choice(TOOLS, must=False)


def test_a_first_call_that_did_not_begin_is_still_to_come() -> None:
    assert rules(FIRST_LOOK).choice([Call("look", Became.REFUSED)]) == Choice(("look",), must=True)


def test_a_first_call_that_was_denied_need_not_be_repeated_and_frees_no_other_tool() -> None:
    assert rules(FIRST_LOOK).choice([Call("look", Became.DENIED)]) == Choice(("look",), must=False)


def test_arguments_of_the_first_call_win_over_the_models_and_only_in_the_first_call() -> None:
    engine = rules(Rule(tool_name="look", run_first=Rule.RunFirst(args=v1.JsonObject(json='{"people": 2}'))))
    assert engine.fixed_arguments([], "look") == {"people": 2}
    assert engine.fixed_arguments([], "pay") == {}
    assert engine.fixed_arguments(ran("look"), "look") == {}


# ---- what follows ----


def test_after_a_parent_one_of_its_children_must_come() -> None:
    engine = rules(children("look", "book", "tell"))
    assert engine.choice(ran("look")) == Choice(("book", "tell"), must=True)
    assert engine.choice(ran("look", "book")) == Choice(TOOLS, must=False)


def test_children_that_do_not_exist_cannot_be_called_so_that_none_must_be() -> None:
    assert rules(children("look", "fly")).choice(ran("look")) == Choice((), must=False)


def test_two_rules_for_one_parent_must_both_hold() -> None:
    engine = rules(children("look", "book", "tell"), children("look", "tell", "pay"))
    assert engine.choice(ran("look")) == Choice(("tell",), must=True)


def test_after_a_denied_child_the_agent_may_answer_in_words_and_still_call_no_other_tool() -> None:
    engine = rules(children("look", "book"))
    assert engine.choice([Call("look"), Call("book", Became.DENIED)]) == Choice(("book",), must=False)


def test_arguments_for_a_child_win_only_right_after_its_parent() -> None:
    node = Rule.ChildArguments(name="book", args=v1.JsonObject(json='{"table": 7}'))
    constrain = Rule.ConstrainChildTools(children=["book", "tell"], child_arg_nodes=[node])
    engine = rules(Rule(tool_name="look", constrain_child_tools=constrain))
    assert engine.fixed_arguments(ran("look"), "book") == {"table": 7}
    assert engine.fixed_arguments(ran("look"), "tell") == {}
    assert engine.fixed_arguments(ran("look", "tell"), "book") == {}
    assert engine.fixed_arguments([], "book") == {}


def test_children_of_a_last_tool_come_only_directly_after_it_and_force_nothing() -> None:
    engine = rules(only_after("look", "pay"))
    assert engine.choice([]) == Choice(("look", "book", "tell"), must=False)
    assert engine.choice(ran("look")) == Choice(TOOLS, must=False)
    assert engine.choice(ran("look", "book")) == Choice(("look", "book", "tell"), must=False)


def test_a_child_of_two_last_tools_may_come_after_either() -> None:
    engine = rules(only_after("look", "pay"), only_after("book", "pay"))
    assert "pay" in engine.choice(ran("look")).tools
    assert "pay" in engine.choice(ran("book")).tools
    assert "pay" not in engine.choice(ran("tell")).tools


def test_a_tool_is_not_called_more_often_than_allowed() -> None:
    engine = rules(at_most("look", 2), at_most("look", 3))
    assert "look" in engine.choice(ran("look")).tools
    assert "look" in engine.choice([Call("look"), Call("look", Became.REFUSED), Call("look", Became.DENIED)]).tools
    assert "look" not in engine.choice(ran("look", "book", "look")).tools


# ---- conditional ----


@pytest.mark.parametrize(
    ("output", "child"),
    [
        ("free", "book"),
        ('"free"', "book"),
        ("true", "pay"),
        ("1", None),
        ("1.0", None),
        ('{"b":[1,true],"a":null}', "tell"),
        ('{"b":[1,1],"a":null}', None),
        ("2.0", "look"),
        ("Free", None),
        ("", None),
        ("[" * 100_000, None),
    ],
)
def test_the_next_tool_follows_from_the_output_as_text_or_as_json(output: str, child: str | None) -> None:
    mapping = {"free": "book", "true": "pay", '{"a": null, "b": [1, true]}': "tell", "2": "look"}
    condition = Rule.Conditional(child_output_mapping=mapping)
    assert child_for(condition, output) == child


def test_a_mapped_output_forces_its_tool_and_another_one_the_default() -> None:
    engine = rules(conditional("look", {"free": "book"}, default="tell"))
    assert engine.choice([Call("look", output="free")]) == Choice(("book",), must=True)
    assert engine.choice([Call("look", output="full")]) == Choice(("tell",), must=True)


def test_an_output_that_is_mapped_to_nothing_frees_every_tool() -> None:
    engine = rules(conditional("look", {"free": "book"}))
    assert engine.choice([Call("look", output="full")]) == Choice(TOOLS, must=False)
    assert engine.after_calls([], [Call("look", output="full")]) == Onward()


def test_an_output_that_had_to_be_mapped_ends_the_run_with_an_error() -> None:
    engine = rules(conditional("look", {"free": "book"}, require=True))
    assert engine.after_calls([], [Call("look", output="free")]) == Onward()
    end = engine.after_calls([], [Call("look", output="x" * 10_000)]).end
    assert end is not None
    assert end.reason == v1.STOP_REASON_ERROR
    assert end.error is not None
    assert end.error.reason == "TOOL_OUTPUT_NOT_MAPPED"
    assert "look" in end.error.message
    assert len(end.error.message) < 500


def test_a_default_is_a_mapping() -> None:
    engine = rules(conditional("look", {"free": "book"}, default="tell", require=True))
    assert engine.after_calls([], [Call("look", output="full")]) == Onward()


# ---- the calls of one answer ----


def test_a_forbidden_call_is_told_which_tools_can_be_called() -> None:
    assert rules(FIRST_LOOK).refusals([], ["pay"]) == [
        "[ToolConstraintError] pay cannot be called now. Tools that can: look."
    ]


def test_an_unknown_tool_is_told_the_known_ones() -> None:
    assert rules().refusals([], ["fly"]) == [
        "[ToolConstraintError] fly cannot be called now. Tools that can: look, book, pay, tell."
    ]


def test_where_nothing_can_be_called_the_call_is_told_so() -> None:
    (told,) = rules(tools=()).refusals([], ["fly"])
    assert told == "[ToolConstraintError] fly cannot be called now, and no other tool can. Answer in words."


def test_calls_of_one_answer_share_a_limit() -> None:
    first, second, third = rules(at_most("look", 2)).refusals([], ["look", "look", "look"])
    assert (first, second) == (None, None)
    assert third is not None


def test_a_call_behind_a_parent_in_the_same_answer_has_to_wait_for_its_return() -> None:
    engine = rules(children("look", "book"))
    first, second = engine.refusals([], ["look", "book"])
    assert first is None
    assert second is not None
    assert second.startswith("[ToolConstraintError] book cannot be called together with look")
    assert engine.refusals(ran("look"), ["book"]) == [None]


def test_a_call_must_have_been_allowed_when_the_model_was_asked() -> None:
    first, second = rules(only_after("look", "pay")).refusals([], ["look", "pay"])
    assert first is None
    assert second is not None


def test_a_child_is_not_directly_after_its_parent_behind_another_call_of_the_answer() -> None:
    engine = rules(only_after("look", "pay"))
    assert engine.refusals(ran("look"), ["pay", "tell"]) == [None, None]
    assert engine.refusals(ran("look"), ["tell", "pay"])[1] is not None


# ---- the end ----


def test_words_end_a_run() -> None:
    onward = rules().after_words(ran("look"))
    assert onward.end is not None
    assert onward.end.reason == v1.STOP_REASON_END_TURN


def test_an_exit_tool_ends_the_run_and_others_do_not() -> None:
    engine = rules(TELL_EXITS)
    assert engine.after_calls([], ran("look")) == Onward()
    end = engine.after_calls(ran("look"), ran("pay", "tell")).end
    assert end is not None
    assert end.reason == v1.STOP_REASON_TOOL_RULE


def test_an_exit_tool_that_did_not_run_ends_nothing() -> None:
    engine = rules(TELL_EXITS)
    assert engine.after_calls([], [Call("tell", Became.REFUSED)]) == Onward()
    assert engine.after_calls([], [Call("tell", Became.DENIED)]) == Onward()


def test_an_exit_tool_of_an_earlier_answer_ends_nothing_now() -> None:
    assert rules(TELL_EXITS).after_calls(ran("tell"), ran("look")) == Onward()


def test_going_on_wins_over_an_exit_also_of_another_tool_of_the_answer() -> None:
    goes_on = Rule(tool_name="look", continue_loop=Rule.ContinueLoop())
    itself = Rule(tool_name="tell", continue_loop=Rule.ContinueLoop())
    assert rules(TELL_EXITS, itself).after_calls([], ran("tell")) == Onward()
    assert rules(TELL_EXITS, goes_on).after_calls([], ran("tell", "look")) == Onward()
    assert rules(TELL_EXITS, goes_on).after_calls(ran("look"), ran("tell")).end is not None


def test_an_exit_wins_over_children_that_were_to_come() -> None:
    assert rules(TELL_EXITS, children("tell", "look")).after_calls([], ran("tell")).end is not None


def test_a_tool_named_send_message_is_an_exit() -> None:
    engine = rules(tools=("look", "send_message"))
    end = engine.after_calls([], ran("send_message")).end
    assert end is not None
    assert end.reason == v1.STOP_REASON_TOOL_RULE
    goes_on = Rule(tool_name="send_message", continue_loop=Rule.ContinueLoop())
    assert rules(goes_on, tools=("send_message",)).after_calls([], ran("send_message")) == Onward()


def test_a_run_does_not_end_by_words_before_a_required_tool_was_called() -> None:
    engine = rules(PAY_REQUIRED)
    onward = engine.after_words(ran("look"))
    assert onward.end is None
    assert json.loads(onward.nudge)["type"] == "heartbeat"
    assert "pay" in json.loads(onward.nudge)["reason"]
    assert engine.after_words(ran("pay", "look")).end is not None


def test_a_run_does_not_end_by_an_exit_before_a_required_tool_was_called() -> None:
    engine = rules(PAY_REQUIRED, TELL_EXITS)
    assert engine.after_calls([], ran("tell")).end is None
    assert "pay" in engine.after_calls([], ran("tell")).nudge
    assert engine.after_calls([], ran("pay", "tell")).end is not None
    assert engine.after_calls(ran("tell"), ran("pay")) == Onward()


def test_after_a_nudge_a_tool_must_be_called() -> None:
    assert rules(PAY_REQUIRED).choice(ran("look"), nudged=True) == Choice(TOOLS, must=True)
    assert rules().choice(ran("look"), nudged=True) == Choice(TOOLS, must=False)


def test_a_required_tool_that_was_denied_is_not_asked_for_again() -> None:
    assert rules(PAY_REQUIRED).after_words([Call("pay", Became.DENIED)]).end is not None


def test_a_required_tool_that_cannot_be_reached_does_not_keep_a_run_from_its_end() -> None:
    spent = rules(PAY_REQUIRED, only_after("look", "pay"), at_most("look", 1))
    assert spent.after_words(ran("look")).end is None
    assert spent.after_words(ran("look", "tell")).end is not None


def test_a_required_tool_is_reached_over_others() -> None:
    engine = rules(PAY_REQUIRED, FIRST_LOOK, conditional("look", {"a": "book"}, require=True), children("book", "pay"))
    assert engine.after_words([]).end is None


# ---- approvals and prompts ----


def test_a_rule_has_a_tool_wait_for_approvals() -> None:
    engine = rules(Rule(tool_name="pay", requires_approval=Rule.RequiresApproval()))
    assert engine.needs_approval("pay")
    assert not engine.needs_approval("look")


def test_rules_with_a_template_are_told_and_those_of_missing_tools_are_not() -> None:
    told = Rule(tool_name="look", prompt_template="Call {tool_name} first. {x}", run_first=Rule.RunFirst())
    missing = Rule(tool_name="fly", prompt_template="Fly.", run_first=Rule.RunFirst())
    assert rules(told, missing, TELL_EXITS).told == ["Call look first. {x}"]


# ---- whatever the rules ----

names = st.sampled_from(TOOLS)
some_names = st.lists(names, min_size=1, max_size=3)
outputs = st.sampled_from(["a", "b"])
mappings = st.dictionaries(outputs, names, min_size=1)
any_rule = st.one_of(
    st.builds(lambda tool: Rule(tool_name=tool, run_first=Rule.RunFirst()), names),
    st.builds(lambda tool: Rule(tool_name=tool, exit_loop=Rule.ExitLoop()), names),
    st.builds(lambda tool: Rule(tool_name=tool, continue_loop=Rule.ContinueLoop()), names),
    st.builds(lambda tool: Rule(tool_name=tool, required_before_exit=Rule.RequiredBeforeExit()), names),
    st.builds(lambda tool, some: children(tool, *some), names, some_names),
    st.builds(lambda tool, some: only_after(tool, *some), names, some_names),
    st.builds(at_most, names, st.integers(1, 3)),
    st.builds(conditional, names, mappings, st.none() | names, st.booleans()),
)
any_rules = st.lists(any_rule, max_size=8)


def one_run(engine: Rules, data: st.DataObject, steps: int) -> tuple[list[Call], list[Choice]]:
    """The calls that ran of a run whose model does anything, and what it could choose from before each of them."""
    calls: list[Call] = []
    offered: list[Choice] = []
    nudged = False
    for _ in range(steps):
        choice = engine.choice(calls, nudged=nudged)
        assert choice.tools or not choice.must, "a call must come, and none may"
        wanted = data.draw(st.lists(names, min_size=1 if choice.must else 0, max_size=3))
        if not wanted:
            onward = engine.after_words(calls)
            assert onward.end or choice.tools, "the run may not end, and no tool may be called"
        else:
            answer = [
                Call(name, data.draw(st.sampled_from([Became.RAN, Became.DENIED])), data.draw(outputs))
                if refusal is None
                else Call(name, Became.REFUSED, refusal)
                for name, refusal in zip(wanted, engine.refusals(calls, wanted), strict=True)
            ]
            offered += [choice] * sum(call.became is Became.RAN for call in answer)
            onward = engine.after_calls(calls, answer)
            calls += answer
        if onward.end:
            break
        nudged = bool(onward.nudge)
    return [call for call in calls if call.became is Became.RAN], offered


@given(any_rules, st.data())
def test_no_rules_are_a_dead_end(some: list[Rule], data: st.DataObject) -> None:
    one_run(Rules(some, TOOLS), data, steps=6)


@given(any_rules, st.data())
def test_whatever_runs_was_offered_in_the_right_order_and_within_its_limits(
    some: list[Rule], data: st.DataObject
) -> None:
    done, offered = one_run(Rules(some, TOOLS), data, steps=8)
    assert all(call.name in choice.tools for call, choice in zip(done, offered, strict=True))
    for rule in some:
        check = {
            "run_first": _check_first,
            "constrain_child_tools": _check_children,
            "parent_last_tool": _check_parent,
            "max_count_per_step": _check_count,
        }.get(rule.WhichOneof("type") or "")
        if check:
            check(some, rule, [call.name for call in done])


def _check_first(some: list[Rule], _: Rule, done: list[str]) -> None:
    first = {rule.tool_name for rule in some if rule.HasField("run_first")}
    assert not done or done[0] in first


def _check_children(_: list[Rule], rule: Rule, done: list[str]) -> None:
    follows = {child for parent, child in pairwise(done) if parent == rule.tool_name}
    assert follows <= set(rule.constrain_child_tools.children)


def _check_parent(some: list[Rule], rule: Rule, done: list[str]) -> None:
    for child in rule.parent_last_tool.children:
        parents = {other.tool_name for other in some if child in other.parent_last_tool.children}
        before = [None, *done]
        assert all(before[index] in parents for index, name in enumerate(done) if name == child)


def _check_count(_: list[Rule], rule: Rule, done: list[str]) -> None:
    assert done.count(rule.tool_name) <= rule.max_count_per_step.max_count_limit
