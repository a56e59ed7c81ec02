"""Think, act, observe: what an agent does in a run. The body that the executor drives.

First form: one model call, because there are no tools yet. Input is in the conversation before the model is called,
so it stays whatever becomes of the call.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from itertools import count

from sendoff import v1
from sendoff_server import ids
from sendoff_server.agents import context as contexts
from sendoff_server.agents import tokens
from sendoff_server.agents.answers import end_for, entries
from sendoff_server.agents.compaction import Compactor, StepCall, does_not_fit
from sendoff_server.agents.context import Context
from sendoff_server.agents.directory import AgentDirectory, ConversationDirectory
from sendoff_server.agents.history_memory import HistoryMemory, Measured
from sendoff_server.agents.retry import RetryPolicy
from sendoff_server.body import Body, End, Live, Step, StepResult, Work
from sendoff_server.clock import Clock, timestamp
from sendoff_server.errors import ModelNotFound
from sendoff_server.lifecycle import model_of
from sendoff_server.models.port import Answer, Catalogue, Delta, ModelCall, ModelFailed


class Loop(Body):
    """The loop of every agent."""

    def __init__(
        self,
        history: HistoryMemory,
        agents: AgentDirectory,
        conversations: ConversationDirectory,
        models: Catalogue,
        clock: Clock,
        retry: RetryPolicy,
    ) -> None:
        self._history = history
        self._agents = agents
        self._conversations = conversations
        self._models = models
        self._clock = clock
        self._retry = retry
        self._compactor = Compactor(retry, clock)

    def next_step(self, work: Work, done: Sequence[StepResult]) -> Step | End:
        if done:
            return End(v1.STOP_REASON_END_TURN)
        return Step(id=ids.derive("step", work.run.id, len(done)), index=len(done))

    async def perform(self, work: Work, step: Step, live: Live) -> StepResult:
        agent = await self._agents.find(work.tenant, work.run.agent_id)
        handle = model_of(work.request, await self._conversation(work), agent)
        try:
            model = await self._models.find(handle)
        except ModelNotFound as missing:
            error = v1.RunError(reason=missing.reason, message=missing.message, metadata=missing.metadata)
            return StepResult(end=End(v1.STOP_REASON_ERROR, error))
        call = StepCall(work=work, step=step, live=live, model=model, handle=handle)
        try:
            return await self._within_the_window(call, contexts.system_prompt(agent, work.request))
        except ModelFailed as failure:
            return StepResult(end=End(failure.stop_reason, _run_error(failure)))

    async def _within_the_window(self, call: StepCall, system: str) -> StepResult:
        """Make room if the context is about to be too large, and once more if the provider says that it is."""
        context = await contexts.read(self._history, call.work, system, resumed=call.live.attempt > 1)
        filled = contexts.fill(context, call.handle, self._history.measured(call.work.lane))
        context = await self._compactor.make_room(call, context, filled)
        tries = count()
        try:
            return await self._answered(call, context, tries)
        except ModelFailed as failure:
            if failure.reason != "CONTEXT_OVERFLOW":
                raise
            context = await self._compactor.after_overflow(call, context, failure)
        try:
            return await self._answered(call, context, tries)
        except ModelFailed as failure:
            if failure.reason != "CONTEXT_OVERFLOW":
                raise
            raise does_not_fit(call, context.estimated_tokens, failure) from failure

    async def _answered(self, call: StepCall, context: Context, tries: Iterator[int]) -> StepResult:
        async def ask(_: int) -> StepResult:
            attempt = next(tries)
            message_id = ids.derive("message", call.work.run.id, call.step.index, call.live.attempt, attempt)
            await call.live.calling(call.handle, message_id)
            question = ModelCall(
                handle=call.handle,
                system=context.system,
                messages=context.messages,
                run_id=call.work.run.id,
                attempt=attempt,
            )
            answer = await self._answer(call.model.stream(question), call.live)
            return self._result(call, context, message_id, answer)

        return await self._retry.repeated(call.live, ask)

    async def _conversation(self, work: Work) -> v1.Conversation | None:
        if not work.run.HasField("conversation_id"):
            return None
        return await self._conversations.find(work.tenant, work.run.conversation_id)

    async def _answer(self, stream: AsyncGenerator[Delta | Answer], live: Live) -> Answer:
        """The whole answer, its pieces shown as they come."""
        try:
            async for event in stream:
                if isinstance(event, Answer):
                    return event
                live.write(event.part_index, event.kind.value, event.text)
        finally:
            await stream.aclose()
        raise AssertionError("a model's stream ends with its answer")

    def _result(self, call: StepCall, context: Context, message_id: str, answer: Answer) -> StepResult:
        written = entries(call.work, call.step, message_id, answer, timestamp(self._clock.now_ns()))
        if written and answer.usage.HasField("total_tokens"):
            system, used = tokens.of_text(context.system), answer.usage.total_tokens
            measured = Measured(call.handle, written[-1].position, system, used)
            self._history.note(call.work.lane, measured)
        return StepResult(
            messages=written,
            usage=answer.usage,
            end=end_for(answer),
            provider_request_id=answer.provider_request_id,
        )


def _run_error(failure: ModelFailed) -> v1.RunError:
    return v1.RunError(
        reason=failure.reason, message=failure.message, metadata=failure.metadata, retryable=failure.retryable
    )
