"""Every call of an earlier run gets one return, whatever was answered and whoever comes next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sendoff import v1
from sendoff_server.clock import SECOND_NS, timestamp
from sendoff_server.lifecycle import NOBODY_ANSWERED
from sendoff_server.loop.settlement import Owed, misfit, settlement, unreturned
from tests.unit.context.histories import called, histories, placed, returned, said

NOW = 1_000 * SECOND_NS


@given(histories())
def test_a_whole_history_owes_nothing(history: list[v1.Message]) -> None:
    assert unreturned(stepped(history)) == []


@given(histories(), st.data())
def test_a_history_that_is_cut_behind_a_call_owes_its_returns(history: list[v1.Message], data: st.DataObject) -> None:
    history = stepped(history)
    calls = [index for index, entry in enumerate(history) if entry.HasField("tool_call_message")]
    if not calls:
        return
    cut = data.draw(st.sampled_from(calls))
    asked = [call.tool_call_id for call in history[cut].tool_call_message.tool_calls]
    assert [owed.call.tool_call_id for owed in unreturned(history[: cut + 1])] == asked
    behind = next(i for i in range(cut + 1, len(history)) if history[i].HasField("tool_return_message"))
    had = {each.tool_call_id for each in history[behind].tool_return_message.tool_returns}
    assert [owed.call.tool_call_id for owed in unreturned(history[: behind + 1])] == [
        call_id for call_id in asked if call_id not in had
    ]


def stepped(history: list[v1.Message]) -> list[v1.Message]:
    """With steps: what somebody says has none, a return has that of its call."""
    steps: dict[str, str] = {}
    for entry in history:
        steps |= {call.tool_call_id: entry.id for call in entry.tool_call_message.tool_calls}
        if entry.HasField("tool_return_message"):
            entry.step_id = steps[entry.tool_return_message.tool_returns[0].tool_call_id]
        elif not entry.HasField("user_message"):
            entry.step_id = entry.id
    return history


def test_calls_that_wait_and_calls_that_were_held_back_are_owed_together() -> None:
    asks = v1.Message(
        approval_request_message=v1.ApprovalRequestMessage(tool_calls=[v1.ToolCall(tool_call_id="b", name="book")])
    )
    history = stepped(placed([[said("Book.")], [called("a"), asks]]))
    assert [(owed.call.tool_call_id, owed.position) for owed in unreturned(history)] == [("a", 11), ("b", 12)]


APPROVAL, CLIENT, DOUBT = (
    v1.ACTION_KIND_APPROVAL,
    v1.ACTION_KIND_CLIENT_TOOL,
    v1.ACTION_KIND_RESOLVE_UNKNOWN_OUTCOME,
)


def action(call_id: str, kind: v1.ActionKind.ValueType = APPROVAL, **fields: object) -> v1.PendingAction:
    expire = timestamp(NOW + SECOND_NS)
    return v1.PendingAction(tool_call_id=call_id, kind=kind, **{"expire_time": expire, **fields})  # type: ignore[arg-type]


def owed(call_id: str) -> Owed:
    return Owed(v1.ToolCall(tool_call_id=call_id, name="look", arguments="{}"), "step-1", "run-1", 7)


def yes(call_id: str, **fields: object) -> v1.ActionDecision:
    return v1.ActionDecision(approval=v1.Approval(tool_call_id=call_id, approve=True, **fields))  # type: ignore[arg-type]


def no(call_id: str, reason: str | None = None) -> v1.ActionDecision:
    return v1.ActionDecision(approval=v1.Approval(tool_call_id=call_id, approve=False, reason=reason))


def gave(call_id: str) -> v1.ActionDecision:
    return v1.ActionDecision(tool=v1.ToolReturn(tool_call_id=call_id, tool_return=v1.Content(text="it")))


CALLS = ["a", "b", "c", "d"]
_DECISIONS = st.sampled_from([yes, no, gave, None])


@given(
    st.lists(st.sampled_from(CALLS), unique=True),
    st.sampled_from([APPROVAL, CLIENT, DOUBT]),
    st.data(),
    st.sampled_from(["", "the run was cancelled"]),
)
def test_each_call_is_denied_given_or_called_and_just_one_of_them(
    waiting: list[str], kind: v1.ActionKind.ValueType, data: st.DataObject, stopped: str
) -> None:
    waiting = [call_id for call_id in CALLS if call_id in waiting]
    made = {call_id: data.draw(_DECISIONS) for call_id in waiting}
    decisions = [make(call_id) for call_id, make in made.items() if make] if data.draw(st.booleans()) else None
    actions = [action(call_id, kind) for call_id in waiting]
    plan = settlement([owed(call_id) for call_id in CALLS], actions, decisions, now_ns=NOW, stopped=stopped)
    dealt = [each.tool_call_id for each in (*plan.denied, *plan.given)]
    dealt += [each.call.tool_call_id for each in plan.to_call]
    assert sorted(dealt) == CALLS
    assert [each.tool_call_id for each in plan.resolved] == waiting
    assert len(plan.answers) == len(waiting)
    assert not (stopped and plan.to_call), "called though nothing may be"
    assert decisions is not None or not plan.to_call, "called though nobody has answered"
    assert kind != CLIENT or not {*waiting} & {each.call.tool_call_id for each in plan.to_call}


def text(plan_return: v1.ToolReturn) -> str:
    return plan_return.tool_return.text


def test_noted_answers_count_where_a_plain_message_comes() -> None:
    actions = [action("a", CLIENT, decision=gave("a")), action("b", decision=yes("b")), action("c")]
    plan = settlement([owed(each) for each in "abcd"], actions, None, now_ns=NOW)
    assert [each.tool_call_id for each in plan.given] == ["a"]
    assert [each.call.tool_call_id for each in plan.to_call] == ["b"]
    assert [each.tool_call_id for each in plan.denied] == ["c", "d"]
    assert [each.resolved_by for each in plan.resolved] == ["caller", "caller", "message"]


def test_an_unanswered_action_that_ends_the_turn_lets_nothing_be_called() -> None:
    fails = v1.ON_TIMEOUT_FAIL_TURN
    actions = [action(each, expire_time=timestamp(NOW), on_timeout=fails) for each in "ab"]
    plan = settlement([owed(each) for each in "abc"], actions, [yes("a"), no("b", NOBODY_ANSWERED)], now_ns=NOW)
    assert plan.fails_turn
    assert not plan.to_call
    assert [each.resolved_by for each in plan.resolved] == ["caller", "timeout"]


def test_a_caller_cannot_let_the_time_be_over() -> None:
    actions = [action("a", on_timeout=v1.ON_TIMEOUT_FAIL_TURN)]
    plan = settlement([owed("a")], actions, [no("a", NOBODY_ANSWERED)], now_ns=NOW)
    assert not plan.fails_turn
    assert [each.resolved_by for each in plan.resolved] == ["caller"]


def test_a_doubt_that_is_denied_is_told_as_one() -> None:
    plan = settlement([owed("a")], [action("a", DOUBT)], [no("a", "I looked")], now_ns=NOW)
    assert "nobody knows whether it was carried out. User reason: I looked" in text(plan.denied[0])


def test_an_approval_may_bring_other_arguments() -> None:
    edited = v1.JsonObject(json='{"n": 1}')
    plan = settlement([owed("a")], [action("a")], [yes("a", edited_arguments=edited)], now_ns=NOW)
    assert plan.to_call[0].call.arguments == '{"n": 1}'
    assert plan.to_call[0].call.arguments_are_valid_json


def test_answers_must_be_those_that_are_waited_for() -> None:
    actions = [action("a"), action("b", decision=yes("b"))]
    assert misfit(actions, [yes("a")]) is None
    assert misfit(actions, [yes("a"), yes("b")]) is None
    for wrong in ([], [yes("b")], [yes("a"), yes("c")]):
        fault = misfit(actions, wrong)
        assert fault is not None
        assert fault.reason == "INVALID_TOOL_CALL_IDS"
        assert fault.message.startswith("Invalid tool call IDs. Expected '['a', 'b']', but received '[")
    nothing = misfit([], [yes("a")])
    assert nothing is not None
    assert nothing.reason == "NO_PENDING_ACTION"


def test_a_return_is_not_taken_for_one_of_an_older_call() -> None:
    history = stepped(placed([[said("Go.")], [called("a")], [returned("a")], [called("b")]]))
    assert [each.call.tool_call_id for each in unreturned(history)] == ["b"]
