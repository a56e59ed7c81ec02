"""Settles what earlier runs have left open, before a run's own input is read: see `settlement` for the rules.

What is settled is written in front of the input: the answers to pending actions, and one entry with all returns, in the
order denied, given, called. As with a run's own calls, starts are durable before a tool begins.

A call whose outcome a crash has hidden stops the run again, if the run has nothing else to bring. If it has, the doubt
is told to the model: between a call and its return no provider takes a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from sendoff import v1
from sendoff_server import ids
from sendoff_server.body import Done, End, Live, Made, Settled, Work
from sendoff_server.clock import Clock, timestamp
from sendoff_server.lifecycle import APPROVAL_PLACE, SETTLEMENT_PLACE, began, decisions_of, text_of
from sendoff_server.loop import returns
from sendoff_server.loop.acting import left_off
from sendoff_server.loop.calling import Batch, Callers, Outcome
from sendoff_server.loop.entries import entry
from sendoff_server.loop.held import opened
from sendoff_server.loop.outfit import Outfit, Wardrobe
from sendoff_server.loop.returns import as_ruled
from sendoff_server.loop.settlement import Owed, Settlement, misfit, settlement, unreturned
from sendoff_server.loop.turns import calls_so_far
from sendoff_server.store.port import Store

NOTHING_TO_SETTLE = Settled()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """What there is to settle."""

    owed: Sequence[Owed]
    actions: Sequence[v1.PendingAction] = ()
    paused: v1.Run | None = None
    """The run that has stopped for the actions."""


class Settler:
    """Settles for runs that begin."""

    def __init__(
        self, store: Store, wardrobe: Wardrobe, callers: Callers, clock: Clock, action_timeout: timedelta
    ) -> None:
        self._store = store
        self._wardrobe = wardrobe
        self._callers = callers
        self._clock = clock
        self._action_timeout = action_timeout

    async def settle(self, work: Work, done: Done, live: Live) -> Settled:
        """Settle what is open, by what the request answers."""
        case = await self._case(work, done)
        decisions = decisions_of(work.request)
        if decisions is not None and (fault := misfit(case.actions, decisions)):
            return Settled(end=End(v1.STOP_REASON_INVALID_TOOL_CALL, fault))
        if not case.owed and case.paused is None:
            return NOTHING_TO_SETTLE
        plan = settlement(case.owed, case.actions, decisions, now_ns=self._clock.now_ns())
        outfit = await self._wardrobe.outfit(work)
        outcome = await self._called(work, outfit, plan.to_call, done, live)
        settled = self._settled(work, case, plan, outcome)
        if settled.end is None and not work.input:
            return replace(settled, end=_ruled(work, outfit, case, settled, done))
        return settled

    async def close(self, work: Work, done: Done, because: str) -> Settled:
        """Settle what is open without calling anything, because the run ends."""
        case = await self._case(work, done)
        if not case.owed and case.paused is None:
            return NOTHING_TO_SETTLE
        decisions = decisions_of(work.request)
        plan = settlement(case.owed, case.actions, decisions, now_ns=self._clock.now_ns(), stopped=because)
        begun = {owed.call.tool_call_id: owed.call for owed in case.owed if owed.call.tool_call_id in done.started}
        plan.denied = [
            left_off(begun[each.tool_call_id], done, because) if each.tool_call_id in begun else each
            for each in plan.denied
        ]
        return self._settled(work, case, plan, Outcome())

    async def _case(self, work: Work, done: Done) -> _Case:
        assert done.past is not None, "the history is read first"
        owed = unreturned(done.past.messages)
        if not work.paused_by:
            return _Case(owed=owed)
        waiting = await self._store.actions(work.tenant, work.lane)
        paused = (await self._store.runs(work.tenant, [work.paused_by])).get(work.paused_by)
        return _Case(owed=owed, actions=waiting.actions if waiting else (), paused=paused)

    async def _called(self, work: Work, outfit: Outfit, owed: Sequence[Owed], done: Done, live: Live) -> Outcome:
        if not owed:
            return Outcome()
        batch = Batch(
            work=work,
            step_id=owed[0].step_id,
            run_id=owed[0].run_id,
            position=owed[0].position,
            window_tokens=outfit.window_tokens,
            plans=[outfit.tools.settled(each.call) for each in owed],
            environment=outfit.agent.secrets,
        )
        return await self._callers.make(batch, done, live)

    def _settled(self, work: Work, case: _Case, plan: Settlement, outcome: Outcome) -> Settled:
        stops = bool(outcome.in_doubt) and not work.input
        doubts = [] if stops else [returns.in_doubt(call.tool_call_id) for call in outcome.in_doubt]
        called = [outcome.returns[call_id] for call_id in _order(plan) if call_id in outcome.returns]
        given = [returns.given(each, returns.DEFAULT_LIMIT) for each in plan.given]
        messages = self._entries(work, case, plan, [*plan.denied, *given, *called, *doubts])
        now = timestamp(self._clock.now_ns())
        kind = v1.ACTION_KIND_RESOLVE_UNKNOWN_OUTCOME
        opens = [opened(kind, call, work, now, self._action_timeout) for call in outcome.in_doubt] if stops else []
        return Settled(
            messages=messages,
            resolved=plan.resolved,
            continues=case.paused,
            opens=opens,
            end=End(v1.STOP_REASON_TOOL_OUTCOME_UNKNOWN) if stops else _failed_turn(plan),
        )

    def _entries(self, work: Work, case: _Case, plan: Settlement, ordered: Sequence[v1.ToolReturn]) -> list[v1.Message]:
        now = timestamp(self._clock.now_ns())
        messages: list[v1.Message] = []
        if plan.answers:
            message_id = ids.derive("message", work.run.id, "answers")
            answers = entry(work, message_id, began(work.seq) + APPROVAL_PLACE, now)
            answers.approval_response_message.approvals.extend(plan.answers)
            if otid := work.request.messages.messages[0].approval.otid if work.request.messages.messages else "":
                answers.otid = otid
            messages.append(answers)
        if ordered:
            message_id = ids.derive("message", work.run.id, "settlement")
            position = began(work.seq) + SETTLEMENT_PLACE
            returned = entry(work, message_id, position, now, step_id=case.owed[0].step_id)
            returned.name = case.owed[0].call.name
            returned.tool_return_message.tool_returns.extend(ordered)
            messages.append(returned)
        return messages


def _order(plan: Settlement) -> list[str]:
    return [owed.call.tool_call_id for owed in plan.to_call]


def _ruled(work: Work, outfit: Outfit, case: _Case, settled: Settled, done: Done) -> End | None:
    """The end of a run whose tools have done, with what is settled, all that rules want of it."""
    outputs = {
        each.tool_call_id: text_of(each.tool_return)
        for message in settled.messages
        for each in message.tool_return_message.tool_returns
    }
    calls = [owed.call for owed in case.owed]
    made = [Made(call.tool_call_id, call.name, outputs.get(call.tool_call_id, "")) for call in calls]
    return outfit.tools.rules.after_calls(calls_so_far(work, done), as_ruled(made, done.started)).end


def _failed_turn(plan: Settlement) -> End | None:
    if not plan.fails_turn:
        return None
    told = "an action was not answered in time, and its request says that the turn fails then"
    return End(v1.STOP_REASON_DEADLINE_EXCEEDED, v1.RunError(reason="ACTION_TIMEOUT", message=told, retryable=True))
