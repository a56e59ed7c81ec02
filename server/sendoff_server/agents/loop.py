"""Think, act, observe: what an agent does in a run. The body that the executor drives.

First form: one model call, because there are no tools yet. Input is in the conversation before the model is called,
so it stays whatever becomes of the call.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from sendoff import v1
from sendoff_server import ids
from sendoff_server.agents.answers import end_for, entries
from sendoff_server.agents.context import conversation, system_prompt
from sendoff_server.agents.conversations import Conversations
from sendoff_server.agents.directory import AgentDirectory, ConversationDirectory
from sendoff_server.body import Body, End, Live, Step, StepResult, Work
from sendoff_server.clock import Clock, timestamp
from sendoff_server.errors import ModelNotFound
from sendoff_server.lifecycle import model_of
from sendoff_server.models.port import Answer, Catalogue, Delta, ModelCall, ModelFailed

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
LONGEST_RETRY_AFTER_S = 120.0
"""A provider that asks to wait longer than this is not waited for: the run fails and says so."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed model call is made again."""

    retries: int

    def pause_s(self, failure: ModelFailed, attempt: int) -> float | None:
        """How long to wait before the next try, or None to give up. `attempt` counts the tries before: 0, 1, 2."""
        if not failure.retryable or attempt >= self.retries:
            return None
        if failure.retry_after_s is not None:
            return failure.retry_after_s if failure.retry_after_s <= LONGEST_RETRY_AFTER_S else None
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * float(2**attempt))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 -- spreads callers out, guards nothing


class Loop(Body):
    """The loop of every agent."""

    def __init__(
        self,
        history: Conversations,
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
        messages = await conversation(self._history, work, model.info, resumed=live.attempt > 1)
        attempt = 0
        while True:
            message_id = ids.derive("message", work.run.id, step.index, live.attempt, attempt)
            await live.calling(handle, message_id)
            call = ModelCall(
                handle=handle,
                system=system_prompt(agent, work.request),
                messages=messages,
                run_id=work.run.id,
                attempt=attempt,
            )
            try:
                answer = await self._answer(model.stream(call), live)
            except ModelFailed as failure:
                pause_s = self._retry.pause_s(failure, attempt)
                if pause_s is None:
                    return StepResult(end=End(failure.stop_reason, _run_error(failure)))
                await live.back_off(failure.reason, pause_s)
                attempt += 1
            else:
                return self._result(work, step, message_id, answer)

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

    def _result(self, work: Work, step: Step, message_id: str, answer: Answer) -> StepResult:
        return StepResult(
            messages=entries(work, step, message_id, answer, timestamp(self._clock.now_ns())),
            usage=answer.usage,
            end=end_for(answer),
            provider_request_id=answer.provider_request_id,
        )


def _run_error(failure: ModelFailed) -> v1.RunError:
    return v1.RunError(
        reason=failure.reason, message=failure.message, metadata=failure.metadata, retryable=failure.retryable
    )
