"""The second half of a step: the tools that an answer asks for are called, and what they return is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from sendoff import v1
from sendoff_server import ids
from sendoff_server.body import Called, Done, End, Live, Made, OpenAnswer, Step, Work
from sendoff_server.clock import Clock, timestamp
from sendoff_server.lifecycle import NUDGE_PLACE, RETURN_PLACE, output_position, text_of
from sendoff_server.loop import returns
from sendoff_server.loop.calling import Batch, Callers, Outcome
from sendoff_server.loop.entries import entry
from sendoff_server.loop.held import opened
from sendoff_server.loop.outfit import Wardrobe
from sendoff_server.loop.returns import as_ruled
from sendoff_server.loop.rules import CONSTRAINT_ERROR
from sendoff_server.loop.toolset import Planned
from sendoff_server.loop.turns import calls_so_far


class Acting:
    """Calls the tools of a run's own answers."""

    def __init__(self, wardrobe: Wardrobe, callers: Callers, clock: Clock, action_timeout: timedelta) -> None:
        self._wardrobe = wardrobe
        self._callers = callers
        self._clock = clock
        self._action_timeout = action_timeout

    async def act(self, work: Work, step: Step, done: Done, live: Live) -> Called:
        """What the tools of the open answer have returned, and how the run goes on."""
        assert done.open is not None
        asked = done.open
        outfit = await self._wardrobe.outfit(work)
        before = calls_so_far(work, done)
        batch = Batch(
            work=work,
            step_id=step.id,
            run_id=work.run.id,
            position=asked.position,
            window_tokens=outfit.window_tokens,
            plans=[_still_free(plan, done) for plan in outfit.tools.planned(asked.calls, before)],
            environment=outfit.agent.secrets,
        )
        outcome = await self._callers.make(batch, done, live)
        if outcome.in_doubt:
            return self._in_doubt(work, step, asked, outcome)
        ordered = [outcome.returns[call.tool_call_id] for call in asked.calls]
        made = [
            Made(call.tool_call_id, call.name, text_of(each.tool_return))
            for call, each in zip(asked.calls, ordered, strict=True)
        ]
        onward = outfit.tools.rules.after_calls(before, as_ruled(made, done.started))
        messages = [self.returned(work, step, asked, ordered)]
        if onward.nudge:
            messages.append(nudge(work, step, onward.nudge, self._clock))
        return Called(messages=messages, end=onward.end)

    def _in_doubt(self, work: Work, step: Step, asked: OpenAnswer, outcome: Outcome) -> Called:
        """What is known is written; what became of the rest is asked for."""
        known = [outcome.returns[call.tool_call_id] for call in asked.calls if call.tool_call_id in outcome.returns]
        now = timestamp(self._clock.now_ns())
        kind = v1.ACTION_KIND_RESOLVE_UNKNOWN_OUTCOME
        return Called(
            messages=[self.returned(work, step, asked, known)] if known else [],
            opens=[opened(kind, call, work, now, self._action_timeout) for call in outcome.in_doubt],
            end=End(v1.STOP_REASON_TOOL_OUTCOME_UNKNOWN),
        )

    def returned(self, work: Work, step: Step, asked: OpenAnswer, ordered: Sequence[v1.ToolReturn]) -> v1.Message:
        """The entry with the returns of the open answer's calls."""
        now = timestamp(self._clock.now_ns())
        message_id = ids.derive("message", work.run.id, step.index, "return")
        position = output_position(work.seq, step.index, RETURN_PLACE)
        message = entry(work, message_id, position, now, step_id=step.id)
        message.name = asked.calls[0].name
        message.tool_return_message.tool_returns.extend(ordered)
        return message

    def closed(self, work: Work, done: Done, because: str) -> list[v1.Message]:
        """The returns of the open answer's calls, where the run ends before it has them all."""
        if done.open is None:
            return []
        step = Step(done.open.step_id, done.steps)
        ordered = [left_off(call, done, because) for call in done.open.calls]
        return [self.returned(work, step, done.open, ordered)]


def left_off(call: v1.ToolCall, done: Done, because: str) -> v1.ToolReturn:
    """The return of a call that nobody waits for any more."""
    if call.tool_call_id in done.finished:
        return done.finished[call.tool_call_id]
    if call.tool_call_id in done.started:
        return returns.interrupted(call.tool_call_id, because)
    return returns.not_made(call.tool_call_id, because)


def nudge(work: Work, step: Step, content: str, clock: Clock) -> v1.Message:
    """The entry that tells the model why the run does not end."""
    message_id = ids.derive("message", work.run.id, step.index, "nudge")
    position = output_position(work.seq, step.index, NUDGE_PLACE)
    message = entry(work, message_id, position, timestamp(clock.now_ns()), step_id=step.id)
    message.user_message.content.text = content
    return message


def _still_free(plan: Planned, done: Done) -> Planned:
    """A call that nothing held back when it was made, and that has not begun: what holds it back now is new."""
    if plan.held is None or plan.call.tool_call_id in done.started:
        return plan
    told = f"{CONSTRAINT_ERROR} {plan.call.name} cannot be called without an approval any more. Call it again."
    return replace(plan, refusal=told)
