"""Think, act, observe: what an agent does in a run. The body that the executor drives.

A run settles what earlier ones have left open (`settler`), then asks the model and calls the tools that its answer asks
for (`acting`), again and again, until an answer without calls, a limit, a rule, or a call that somebody outside has to
decide on. Input is in the conversation before the model is called, so it stays whatever becomes of the call.
"""

from __future__ import annotations

from datetime import timedelta

from sendoff import v1
from sendoff_server import ids
from sendoff_server.body import (
    Ask,
    Asked,
    Body,
    CallTools,
    Done,
    End,
    Live,
    Next,
    Result,
    Settle,
    Settled,
    Step,
    Work,
)
from sendoff_server.clock import Clock, timestamp
from sendoff_server.context import context as contexts
from sendoff_server.context.compaction import Compactor, StepCall
from sendoff_server.context.context import Context
from sendoff_server.context.history_memory import HistoryMemory, Measured
from sendoff_server.context.pictures import Pictures
from sendoff_server.context.retry import RetryPolicy
from sendoff_server.loop import limits
from sendoff_server.loop.acting import Acting, nudge
from sendoff_server.loop.answers import Written, entries, request_entry
from sendoff_server.loop.asking import Asker, Offer, Reply
from sendoff_server.loop.calling import Callers
from sendoff_server.loop.ends import failed_by, no_model
from sendoff_server.loop.held import actions_for
from sendoff_server.loop.outfit import Outfit, Wardrobe
from sendoff_server.loop.settler import NOTHING_TO_SETTLE, Settler
from sendoff_server.loop.toolset import tokens_of
from sendoff_server.loop.turns import calls_so_far
from sendoff_server.models.port import ModelFailed
from sendoff_server.store.port import Store


class Loop(Body):
    """The loop of every agent."""

    def __init__(
        self,
        store: Store,
        history: HistoryMemory,
        wardrobe: Wardrobe,
        callers: Callers,
        pictures: Pictures,
        clock: Clock,
        retry: RetryPolicy,
        *,
        action_timeout: timedelta,
    ) -> None:
        self._history = history
        self._wardrobe = wardrobe
        self._clock = clock
        self._action_timeout = action_timeout
        self._compactor = Compactor(retry, clock, pictures)
        self._asker = Asker(self._compactor, pictures, retry)
        self._settler = Settler(store, wardrobe, callers, clock, action_timeout)
        self._acting = Acting(wardrobe, callers, clock, action_timeout)

    def next_step(self, work: Work, done: Done) -> Next | End:
        if not done.settled:
            return _SETTLE
        if done.open is not None:
            return CallTools(Step(done.open.step_id, done.steps))
        end = limits.reached(work.request, done)
        return end or Ask(Step(ids.derive_beside(work.run.id, "step", done.steps), done.steps))

    async def perform(self, work: Work, following: Next, done: Done, live: Live) -> Result:
        match following:
            case Settle():
                await self._read_past(work, done)
                return NOTHING_TO_SETTLE if done.has_settled else await self._settler.settle(work, done, live)
            case CallTools(step):
                return await self._acting.act(work, step, done, live)
            case Ask(step):
                return await self._ask(work, step, done, live)

    async def close(self, work: Work, done: Done, end: End) -> Settled:
        because = _BECAUSE.get(end.reason, "the run failed")
        settled = NOTHING_TO_SETTLE
        if not done.settled and not done.has_settled:
            await self._read_past(work, done)
            settled = await self._settler.close(work, done, because)
        return Settled(
            messages=[*settled.messages, *self._acting.closed(work, done, because)],
            resolved=settled.resolved,
            continues=settled.continues,
        )

    async def _read_past(self, work: Work, done: Done) -> None:
        if done.past is None:
            done.past = await contexts.past_of(self._history, work, resumed=work.run.attempt > 0)

    # ---- a model call ----

    async def _ask(self, work: Work, step: Step, done: Done, live: Live) -> Asked:
        outfit = await self._wardrobe.outfit(work)
        if outfit.model is None:
            return Asked(end=no_model(outfit.handle))
        call = outfit.step_call(work, step, live)
        offer = self._offer(work, done, outfit)
        system = await self._wardrobe.system(work, outfit)
        try:
            context = await self._with_room(
                call, done, system, tokens_of(offer.tools), forgets=outfit.agent.message_buffer_autoclear
            )
            reply = await self._asker.ask(call, context, offer, done)
        except ModelFailed as failure:
            return Asked(end=failed_by(failure))
        return self._asked(work, step, done, outfit, reply)

    def _offer(self, work: Work, done: Done, outfit: Outfit) -> Offer:
        if not outfit.tools.names:
            return _NOTHING
        choice = outfit.tools.rules.choice(calls_so_far(work, done), nudged=done.nudged)
        return Offer(tools=outfit.tools.specs(choice.tools), must_call=choice.must, parallel=outfit.parallel_calls)

    async def _with_room(self, call: StepCall, done: Done, system: str, tool_tokens: int, *, forgets: bool) -> Context:
        """The context, compacted if it is about to be too large. `forgets`: without what was before the turn."""
        assert done.past is not None
        past = contexts.of_turn(done.past, call.work) if forgets else done.past
        context = contexts.assembled(past, done, call.work, system, tool_tokens)
        filled = contexts.fill(context, call.handle, self._history.measured(call.work.lane))
        return await self._compactor.make_room(call, context, filled)

    def _asked(self, work: Work, step: Step, done: Done, outfit: Outfit, reply: Reply) -> Asked:
        written = Written(work=work, step=step, message_id=reply.message_id, now=timestamp(self._clock.now_ns()))
        messages, end, opens = self._meaning(written, done, outfit, reply)
        self._note_usage(work, outfit, reply, messages)
        return Asked(
            messages=messages,
            usage=reply.answer.usage,
            tokens=[_of_message(turn, reply.message_id) for turn in reply.answer.tokens],
            calls=[call.name for call in reply.calls],
            provider_request_id=reply.answer.provider_request_id,
            opens=opens,
            end=end,
        )

    def _meaning(
        self, written: Written, done: Done, outfit: Outfit, reply: Reply
    ) -> tuple[list[v1.Message], End | None, list[v1.PendingAction]]:
        """What is written of an answer, whether the run ends with it, and what it waits for then."""
        if reply.end is not None:
            return entries(written, reply.answer), reply.end, []
        before = calls_so_far(written.work, done) if outfit.tools.names else []
        if not reply.calls:
            onward = outfit.tools.rules.after_words(before)
            said = entries(written, reply.answer)
            if onward.nudge:
                said.append(nudge(written.work, written.step, onward.nudge, self._clock))
            return said, onward.end, []
        calls = outfit.tools.with_fixed_arguments(reply.calls, before)
        plans = outfit.tools.planned(calls, before)
        held = [plan.call for plan in plans if plan.held]
        if not held:
            return entries(written, reply.answer, calls), None, []
        others = [plan.call for plan in plans if not plan.held]
        waiting = request_entry(written, reply.answer, held, alone=not others)
        messages = [*entries(written, reply.answer, others), waiting]
        opens = actions_for(plans, written.work, written.now, self._action_timeout)
        return messages, End(v1.STOP_REASON_REQUIRES_APPROVAL), opens

    def _note_usage(self, work: Work, outfit: Outfit, reply: Reply, messages: list[v1.Message]) -> None:
        """What the provider has counted, for the next look at how full the window is."""
        usage = reply.answer.usage
        newest = next((each for each in reversed(messages) if not each.HasField("user_message")), None)
        if newest is not None and usage.HasField("total_tokens"):
            system = reply.context.system_tokens
            self._history.note(work.lane, Measured(outfit.handle, newest.position, system, usage.total_tokens))


_NOTHING = Offer()
_SETTLE = Settle()
_BECAUSE = {
    v1.STOP_REASON_CANCELLED: "the run was cancelled",
    v1.STOP_REASON_SUPERSEDED: "a newer message took the place of the run",
    v1.STOP_REASON_DEADLINE_EXCEEDED: "the time of the run was over",
}


def _of_message(turn: v1.TokenTurn, message_id: str) -> v1.TokenTurn:
    told = v1.TokenTurn()
    told.CopyFrom(turn)
    told.message_id = message_id
    return told
