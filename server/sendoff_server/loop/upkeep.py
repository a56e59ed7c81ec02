"""What a run does for which nobody has sent a message: it compacts the context of its conversation, or empties it.

Both are written as entries of the conversation, together with the run's end and in one commit. So a crash before that
repeats the work, and a crash after it finds it done.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from sendoff import v1
from sendoff_server import ids
from sendoff_server.body import Body, Done, End, Live, Next, Result, Settle, Settled, Step, Work
from sendoff_server.clock import Clock, timestamp
from sendoff_server.context import context as contexts
from sendoff_server.context.compaction import Compactor
from sendoff_server.context.history_memory import HistoryMemory
from sendoff_server.context.pictures import Pictures
from sendoff_server.context.retry import RetryPolicy
from sendoff_server.context.summary import RESET
from sendoff_server.lifecycle import began
from sendoff_server.loop.calling import Callers
from sendoff_server.loop.ends import failed_by, no_model
from sendoff_server.loop.entries import entry
from sendoff_server.loop.outfit import Wardrobe
from sendoff_server.loop.settler import NOTHING_TO_SETTLE, Settler
from sendoff_server.loop.toolset import tokens_of
from sendoff_server.models.port import ModelFailed
from sendoff_server.store.port import INPUT_PLACE, Store

_NO_STEP = Step("", 0)
_DONE = End(v1.STOP_REASON_END_TURN)
_BECAUSE = "the conversation was reset"


@dataclass(frozen=True, slots=True)
class ByKind(Body):
    """Hands each run to who can do what it is for."""

    messages: Body
    upkeep: Body

    def next_step(self, work: Work, done: Done) -> Next | End:
        return self._of(work).next_step(work, done)

    async def perform(self, work: Work, following: Next, done: Done, live: Live) -> Result:
        return await self._of(work).perform(work, following, done, live)

    async def close(self, work: Work, done: Done, end: End) -> Settled:
        return await self._of(work).close(work, done, end)

    def _of(self, work: Work) -> Body:
        return self.messages if work.run.kind == v1.RUN_KIND_UNSPECIFIED else self.upkeep


class Upkeep(Body):
    """The work on contexts. All of it is one piece."""

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
        self._compactor = Compactor(retry, clock, pictures)
        self._settler = Settler(store, wardrobe, callers, clock, action_timeout)

    def next_step(self, work: Work, done: Done) -> Next | End:
        return _SETTLE

    async def perform(self, work: Work, following: Next, done: Done, live: Live) -> Result:
        done.past = await contexts.past_of(self._history, work, resumed=work.run.attempt > 0)
        if work.run.kind == v1.RUN_KIND_COMPACTION:
            return Settled(end=await self._compacted(work, done, live))
        settled = await self._settler.close(work, done, _BECAUSE)
        return replace(settled, messages=[*settled.messages, self._reset(work)], end=_DONE)

    async def close(self, work: Work, done: Done, end: End) -> Settled:
        """Nothing was begun that has to be closed; what was pending still is."""
        return NOTHING_TO_SETTLE

    async def _compacted(self, work: Work, done: Done, live: Live) -> End:
        assert done.past is not None
        outfit = await self._wardrobe.outfit(work)
        if outfit.model is None:
            return no_model(outfit.handle)
        call = outfit.step_call(work, _NO_STEP, live)
        system = await self._wardrobe.system(work, outfit)
        tool_tokens = tokens_of(outfit.tools.specs(outfit.tools.names))
        context = contexts.assembled(done.past, done, work, system, tool_tokens)
        filled = contexts.fill(context, call.handle, self._history.measured(work.lane))
        try:
            await self._compactor.on_request(call, context, filled)
        except ModelFailed as failure:
            return failed_by(failure)
        return _DONE

    def _reset(self, work: Work) -> v1.Message:
        """The entry behind which the conversation begins from now on."""
        position = began(work.seq) + INPUT_PLACE
        message_id = ids.derive("message", work.run.id, "reset")
        made = entry(work, message_id, position, timestamp(self._clock.now_ns()))
        made.system_message.content = RESET
        made.context_start = position
        return made


_SETTLE = Settle()
