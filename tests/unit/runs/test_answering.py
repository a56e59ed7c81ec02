"""Answers to what a conversation waits for: whoever gives them, however often and concurrently."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sendoff import v1
from sendoff_server import ids
from sendoff_server.errors import (
    ActionAlreadyAnswered,
    IdempotencyMismatch,
    InvalidRequest,
    InvalidToolCallIds,
    NoPendingAction,
)
from sendoff_server.store.items import Cancel
from sendoff_server.store.port import DEFAULT_TENANT
from sendoff_server.store.questions import ActionSet
from tests.unit.runs.desk import CLIENT_TOOL, Desk, no, open_desk, returned, yes


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as opened:
        yield opened


def old(approve: bool, request_id: str, reason: str | None = None) -> v1.InputMessage:
    return v1.InputMessage(approval=v1.ApprovalCreate(approve=approve, approval_request_id=request_id, reason=reason))


# ---- what one request says ----


async def test_an_answer_makes_the_run_that_continues(desk: Desk) -> None:
    stopped = await desk.stopped()
    run, replayed = await desk.create(desk.answer(yes(), behind="and then?"))
    assert not replayed
    assert (run.continues_run_id, run.turn_id) == (stopped.id, stopped.turn_id)
    now = await desk.run(stopped.id)
    assert (now.continued_by_run_id, len(now.pending_actions)) == (run.id, 1)
    claim = await desk.claim()
    assert (claim.run.id, claim.paused_by) == (run.id, stopped.id)
    kept = (await desk.kept(run)).messages.messages
    assert [list(kept[0].approval.approvals), kept[1].message.content.text] == [[yes()], "and then?"]


async def test_results_of_tools_are_kept_as_answers(desk: Desk) -> None:
    await desk.stopped(desk.action("a", CLIENT_TOOL), desk.action("b", CLIENT_TOOL))
    results = v1.ToolReturnCreate(tool_returns=[returned("b").tool, returned("a").tool], otid="mine")
    run, _ = await desk.create(desk.sent(v1.InputMessage(tool_return=results)))
    assert await desk.decisions(run) == [returned("a"), returned("b")]
    assert (await desk.kept(run)).messages.messages[0].approval.otid == "mine"


@pytest.mark.parametrize("approve", [True, False])
@pytest.mark.parametrize("by_message", [True, False])
async def test_the_old_single_form_takes_both_ids_for_both_answers(approve: bool, by_message: bool, desk: Desk) -> None:
    stopped = await desk.stopped()
    request_id = ids.derive("message", stopped.id) if by_message else "call-1"
    run, _ = await desk.create(desk.sent(old(approve, request_id, "why")))
    said = v1.Approval(tool_call_id="call-1", approve=approve, reason="why")
    assert await desk.decisions(run) == [v1.ActionDecision(approval=said)]


async def test_the_old_single_form_does_not_answer_several_calls(desk: Desk) -> None:
    stopped = await desk.stopped(desk.action("a"), desk.action("b"))
    message_id = ids.derive("message", stopped.id)
    with pytest.raises(InvalidToolCallIds) as refusal:
        await desk.create(desk.sent(old(True, message_id)))
    assert refusal.value.metadata == {"expected": "a,b", "received": message_id}


@pytest.mark.parametrize(
    "given",
    [[], [yes("a")], [yes("a"), yes("c")], [yes("a"), yes("b"), yes("c")]],
    ids=["none", "too few", "another one", "one too many"],
)
async def test_other_calls_than_those_that_wait_are_refused(given: list[v1.ActionDecision], desk: Desk) -> None:
    stopped = await desk.stopped(desk.action("a"), desk.action("b"))
    with pytest.raises(InvalidToolCallIds) as refusal:
        await desk.create(desk.answer(*given))
    received = ",".join(decision.approval.tool_call_id for decision in given)
    assert refusal.value.metadata == {"expected": "a,b", "received": received}
    assert not (await desk.run(stopped.id)).continued_by_run_id


async def test_a_tool_that_runs_at_the_caller_cannot_be_approved(desk: Desk) -> None:
    await desk.stopped(desk.action("a", CLIENT_TOOL))
    with pytest.raises(InvalidRequest) as refusal:
        await desk.create(desk.answer(yes("a")))
    (violation,) = refusal.value.violations
    assert violation.field == "messages.messages[0].approval.approvals[0].approval.approve"
    with pytest.raises(InvalidRequest, match=r"decisions\[0\]\.approval\.approve"):
        await desk.respond(yes("a"))
    run, _ = await desk.create(desk.answer(no("a")))
    assert await desk.decisions(run) == [no("a")]


async def test_a_call_that_needs_approval_may_have_run_elsewhere(desk: Desk) -> None:
    await desk.stopped()
    run, _ = await desk.create(desk.answer(returned()))
    assert await desk.decisions(run) == [returned()]


async def test_with_nothing_pending_there_is_nothing_to_answer(desk: Desk) -> None:
    with pytest.raises(NoPendingAction, match="No tool call is currently awaiting approval"):
        await desk.create(desk.answer(yes()))
    with pytest.raises(NoPendingAction):
        await desk.respond(yes())


async def test_what_a_message_has_denied_or_is_about_to_deny_is_not_pending(desk: Desk) -> None:
    await desk.stopped()
    await desk.accept(desk.message("never mind"))
    with pytest.raises(NoPendingAction):
        await desk.create(desk.answer(yes()))
    await desk.settle(await desk.claim())
    with pytest.raises(NoPendingAction):
        await desk.create(desk.answer(yes()))


async def test_validate_only_shows_the_continuation_and_writes_nothing(desk: Desk) -> None:
    stopped = await desk.stopped()
    run, _ = await desk.create(desk.answer(yes(), validate_only=True))
    assert (run.id, run.continues_run_id) == ("", stopped.id)
    with pytest.raises(InvalidToolCallIds):
        await desk.create(desk.answer(yes("other"), validate_only=True))
    assert not (await desk.run(stopped.id)).continued_by_run_id


# ---- again ----


async def test_the_same_answers_again_are_the_run_that_dealt_with_them(desk: Desk) -> None:
    await desk.stopped()
    run, _ = await desk.create(desk.answer(yes(), behind="go on"))
    assert await desk.create(desk.answer(yes(), behind="go on")) == (await desk.run(run.id), True)
    await desk.settle(await desk.claim())
    assert await desk.create(desk.answer(yes(), behind="go on")) == (await desk.run(run.id), True)
    assert (await desk.respond(yes())).run.id == run.id


async def test_another_answer_to_the_same_call_is_refused(desk: Desk) -> None:
    await desk.stopped()
    await desk.create(desk.answer(yes()))
    with pytest.raises(ActionAlreadyAnswered, match="call-1"):
        await desk.create(desk.answer(no()))
    with pytest.raises(ActionAlreadyAnswered):
        await desk.respond(no())


async def test_a_new_message_behind_old_answers_is_not_swallowed(desk: Desk) -> None:
    await desk.stopped()
    await desk.create(desk.answer(yes()))
    with pytest.raises(NoPendingAction):
        await desk.create(desk.answer(yes(), behind="one more thing"))


async def test_a_keyed_request_is_known_when_other_calls_wait_by_now(desk: Desk) -> None:
    await desk.stopped()
    first, _ = await desk.create(desk.answer(yes(), request_id="k"))
    await desk.stop(await desk.claim(), [desk.action("call-2")], settles=True)
    assert await desk.create(desk.answer(yes(), request_id="k")) == (await desk.run(first.id), True)
    with pytest.raises(IdempotencyMismatch):
        await desk.create(desk.answer(no(), request_id="k"))
    second = await desk.respond(yes("call-2"), request_id="r")
    await desk.settle(await desk.claim())
    await desk.stopped(desk.action("call-3"))
    assert (await desk.respond(yes("call-2"), request_id="r")).run.id == second.run.id


async def test_answers_of_a_run_that_was_cancelled_in_the_queue_are_waited_for_again(desk: Desk) -> None:
    stopped = await desk.stopped()
    first, _ = await desk.create(desk.answer(yes()))
    await desk.end_queued(first)
    second, replayed = await desk.create(desk.answer(no()))
    assert not replayed
    assert (second.continues_run_id, (await desk.run(stopped.id)).continued_by_run_id) == (stopped.id, second.id)


# ---- several answers ----


async def test_the_last_answer_starts_the_run_with_all_of_them(desk: Desk) -> None:
    stopped = await desk.stopped(desk.action("a"), desk.action("b", CLIENT_TOOL), desk.action("c"))
    first = await desk.respond(no("c", "too risky"))
    assert not first.HasField("run")
    assert [action.tool_call_id for action in first.still_pending] == ["a", "b"]
    assert [action.decision for action in (await desk.run(stopped.id)).pending_actions][2] == no("c", "too risky")
    assert (await desk.respond(returned("b"))).still_pending == [desk_action(await desk.run(stopped.id), "a")]
    last = await desk.respond(yes("a"))
    assert not last.still_pending
    assert await desk.decisions(last.run) == [yes("a"), returned("b"), no("c", "too risky")]


def desk_action(run: v1.Run, call_id: str) -> v1.PendingAction:
    (found,) = [action for action in run.pending_actions if action.tool_call_id == call_id]
    return found


async def test_the_rest_may_be_answered_by_a_message(desk: Desk) -> None:
    await desk.stopped(desk.action("a"), desk.action("b"))
    await desk.respond(yes("a"))
    with pytest.raises(ActionAlreadyAnswered):
        await desk.create(desk.answer(no("a"), no("b")))
    run, _ = await desk.create(desk.answer(no("b"), behind="and now?"))
    assert await desk.decisions(run) == [yes("a"), no("b")]


async def test_an_answer_that_was_given_before_changes_nothing(desk: Desk) -> None:
    await desk.stopped(desk.action("a"), desk.action("b"))
    once = await desk.respond(yes("a"))
    assert await desk.respond(yes("a")) == once
    with pytest.raises(ActionAlreadyAnswered):
        await desk.respond(no("a"))
    with pytest.raises(InvalidToolCallIds) as refusal:
        await desk.respond(yes("z"))
    assert refusal.value.metadata == {"expected": "b", "received": "z"}


async def test_the_continuation_has_the_options_of_the_run_that_stopped(desk: Desk) -> None:
    options: dict[str, Any] = {
        "client_tools": [v1.ClientTool(name="mine")],
        "client_skills": [v1.ClientSkill(name="skill")],
        "override_model": "scripted/echo",
        "max_steps": 7,
        "limits": v1.Limits(max_total_tokens=5),
        "labels": {"a": "b"},
        "include_return_message_types": v1.MessageTypes(values=[v1.MESSAGE_TYPE_TOOL_RETURN_MESSAGE]),
    }
    not_its_own = {"request_id": "first", "scheduling": v1.Scheduling(when_busy=v1.WHEN_BUSY_REJECT)}
    await desk.stopped(desk.action(), **options, **not_its_own)
    response = await desk.respond(yes(), request_id="second")
    kept = await desk.kept(response.run)
    expected = desk.answer(yes(), **options)
    expected.limits.SetInParent()
    assert kept == expected
    assert (response.run.request_id, dict(response.run.labels)) == ("second", {"a": "b"})
    assert list(response.run.request_config.include_return_message_types.values) == [7]


# ---- at once ----


async def test_of_many_who_answer_at_once_one_makes_the_run(desk: Desk) -> None:
    stopped = await desk.stopped()
    answers = await asyncio.gather(*(desk.create(desk.answer(yes())) for _ in range(10)))
    assert len({run.id for run, _ in answers}) == 1
    assert [replayed for _, replayed in answers].count(False) == 1
    assert (await desk.run(stopped.id)).continued_by_run_id == answers[0][0].id


async def test_of_two_who_disagree_one_is_told(desk: Desk) -> None:
    await desk.stopped()
    outcomes = await asyncio.gather(
        *(desk.create(desk.answer(each())) for each in (yes, no, yes, no)), return_exceptions=True
    )
    assert sum(isinstance(outcome, ActionAlreadyAnswered) for outcome in outcomes) == 2
    runs = {outcome[0].id for outcome in outcomes if isinstance(outcome, tuple)}
    assert len(runs) == 1


async def test_every_call_is_answered_once_whoever_is_first(desk: Desk) -> None:
    calls = [f"call-{n}" for n in range(8)]
    await desk.stopped(*(desk.action(call) for call in calls))
    responses = await asyncio.gather(*(desk.respond(yes(call)) for call in calls))
    (run,) = [response.run for response in responses if response.HasField("run")]
    assert await desk.decisions(run) == [yes(call) for call in calls]


async def test_a_noted_answer_is_not_overruled_by_one_for_all(desk: Desk) -> None:
    await desk.stopped(desk.action("a"), desk.action("b"))
    noted, all_at_once = await asyncio.gather(
        desk.respond(no("a")), desk.create(desk.answer(yes("a"), yes("b"))), return_exceptions=True
    )
    refused = [outcome for outcome in (noted, all_at_once) if isinstance(outcome, ActionAlreadyAnswered)]
    assert len(refused) == 1


# ---- in a full conversation ----


async def test_messages_that_wait_for_the_answer_do_not_keep_it_out(tmp_path: Path) -> None:
    async with open_desk(tmp_path, max_open=2) as desk:
        stopped = await desk.stopped()
        waits = v1.Scheduling(when_pending=v1.WHEN_PENDING_ENQUEUE)
        queued = [await desk.accept(desk.message(scheduling=waits)) for _ in range(2)]
        assert await desk.store.claim(10) == []
        run, _ = await desk.create(desk.answer(yes()))
        claim = await desk.claim()
        assert (claim.run.id, claim.paused_by) == (run.id, stopped.id)
        await desk.settle(claim)
        assert (await desk.claim()).run.id == queued[0].id


# ---- the end of the turn ----


async def test_cancelling_a_run_that_waits_denies_what_it_waits_for(desk: Desk) -> None:
    stopped = await desk.stopped(desk.action("a"), desk.action("b"), desk.action("c", CLIENT_TOOL))
    await desk.respond(yes("a"), returned("b"))
    told = await desk.answering.cancel(DEFAULT_TENANT, stopped, "enough")
    assert (told.id, told.status) == (stopped.id, v1.RUN_STATUS_COMPLETED)
    claim = await desk.claim()
    assert (claim.run.id, claim.cancel_wanted) == (told.continued_by_run_id, Cancel(reason="enough"))
    assert await desk.decisions(claim.run) == [no("a", "enough"), returned("b"), no("c", "enough")]
    assert (await desk.answering.cancel(DEFAULT_TENANT, told, "again")) == told


async def test_after_the_deadline_an_answer_comes_too_late(desk: Desk) -> None:
    await desk.stopped()
    await desk.clock.advance(60)
    for late in (desk.create(desk.answer(yes())), desk.respond(yes())):
        with pytest.raises(NoPendingAction):
            await late


async def test_what_is_deleted_while_it_is_answered_waits_for_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = desk.store.actions

    async def looked_just_before(tenant: str, lane: str) -> ActionSet | None:
        found = await look(tenant, lane)
        await desk.store.delete_agent(tenant, desk.agent_id)
        return found

    monkeypatch.setattr(desk.store, "actions", looked_just_before)
    await desk.stopped()
    with pytest.raises(NoPendingAction):
        await desk.create(desk.answer(yes()))
    await desk.open()
    await desk.stopped()
    with pytest.raises(NoPendingAction):
        await desk.respond(yes())
