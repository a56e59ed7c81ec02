"""One question to the model and its answer: repeated where that helps, and given up where it does not."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from sendoff import v1
from sendoff_server import ids
from sendoff_server.body import Done, End, Live
from sendoff_server.context.compaction import Compactor, StepCall, does_not_fit
from sendoff_server.context.context import Context
from sendoff_server.context.pictures import Pictures
from sendoff_server.context.retry import RetryPolicy
from sendoff_server.loop import answers
from sendoff_server.models.port import Answer, Delta, ModelCall, ModelFailed, ToolSpec

UNREADABLE_ANSWERS = 5
"""In a row, after which the run fails."""
ANSWERS_WITHOUT_A_CALL = 2
"""In a row, where one is demanded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a model may call, and how."""

    tools: Sequence[ToolSpec] = ()
    must_call: bool = False
    parallel: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer that came."""

    message_id: str
    context: Context
    """That it answers."""
    answer: Answer
    calls: Sequence[v1.ToolCall] = ()
    end: End | None = None
    """Set where it is no good."""


class Asker:
    """Asks models."""

    def __init__(self, compactor: Compactor, pictures: Pictures, retry: RetryPolicy) -> None:
        self._compactor = compactor
        self._pictures = pictures
        self._retry = retry

    async def ask(self, call: StepCall, context: Context, offer: Offer, done: Done) -> Reply:
        """The answer. An answer that cannot be used is asked for again, and what it took is counted. Raises
        ModelFailed."""
        tries = count()
        unreadable = without_call = 0
        while True:
            reply = await self._within_the_window(call, context, offer, done, tries)
            context = reply.context
            if reply.end is not None or not (reply.calls or offer.must_call):
                return reply
            names = [spec.name for spec in offer.tools]
            if not answers.is_readable(reply.calls, names):
                unreadable += 1
                if unreadable == UNREADABLE_ANSWERS:
                    return _given_up(reply, answers.unreadable_calls())
            elif offer.must_call and not reply.calls:
                without_call += 1
                if without_call == ANSWERS_WITHOUT_A_CALL:
                    return _given_up(reply, answers.no_call(names))
            else:
                return reply
            call.live.spent(reply.answer.usage)
            await call.live.back_off("UNREADABLE_TOOL_CALL" if reply.calls else "NO_TOOL_CALL", 0)

    async def _within_the_window(
        self, call: StepCall, context: Context, offer: Offer, done: Done, tries: Iterator[int]
    ) -> Reply:
        """Make room once more if the provider says that the context is too large."""
        try:
            return await self._answered(call, context, offer, done, tries)
        except ModelFailed as failure:
            if failure.reason != "CONTEXT_OVERFLOW":
                raise
            context = await self._compactor.after_overflow(call, context, failure)
        try:
            return await self._answered(call, context, offer, done, tries)
        except ModelFailed as failure:
            if failure.reason != "CONTEXT_OVERFLOW":
                raise
            raise does_not_fit(call, context.estimated_tokens, failure) from failure

    async def _answered(
        self, call: StepCall, context: Context, offer: Offer, done: Done, tries: Iterator[int]
    ) -> Reply:
        async def ask(_: int) -> Reply:
            attempt = next(tries)
            message_id = ids.derive("message", call.work.run.id, call.step.index, call.live.attempt, attempt)
            await call.live.calling(call.info, message_id)
            messages = context.messages
            if not context.is_plain:
                fetches = call.model.wants_image_bytes
                messages = await self._pictures.shown(call.work.tenant, messages, fetches=fetches, needed=context.input)
            await call.live.sure()
            answer = await _streamed(call.model.stream(_question(call, context, messages, offer, attempt)), call.live)
            calls = _calls(answer, message_id, context, offer, done)
            end = answers.unusable(answer, calls_tools=bool(calls))
            return Reply(message_id=message_id, context=context, answer=answer, calls=calls, end=end)

        return await self._retry.repeated(call.live, ask)


def _question(
    call: StepCall, context: Context, messages: Sequence[v1.Message], offer: Offer, attempt: int
) -> ModelCall:
    """`messages`: those of the context, as the model is shown them."""
    request = call.work.request
    return ModelCall(
        handle=call.handle,
        system=context.system,
        messages=messages,
        run_id=call.work.run.id,
        attempt=attempt,
        tools=offer.tools,
        must_call=offer.must_call,
        parallel_calls=offer.parallel,
        top_logprobs=request.top_logprobs if request.return_logprobs else None,
        token_ids=request.return_token_ids,
        settings=call.settings,
        timezone=call.timezone,
    )


async def _streamed(stream: AsyncGenerator[Delta | Answer], live: Live) -> Answer:
    """The whole answer, its pieces shown as they come."""
    try:
        async for event in stream:
            if isinstance(event, Answer):
                return event
            live.write(event.part_index, event.kind.value, event.text)
    finally:
        await stream.aclose()
    raise AssertionError("a model's stream ends with its answer")


def _calls(answer: Answer, message_id: str, context: Context, offer: Offer, done: Done) -> Sequence[v1.ToolCall]:
    """The calls of the answer, with ids that no call has which the model was shown, or the run has made."""
    if not answers.calls_tools(answer):
        return ()
    shown = {
        call.tool_call_id
        for entry in context.history
        for call in (*entry.tool_call_message.tool_calls, *entry.approval_request_message.tool_calls)
    }
    return answers.calls_in(answer, message_id, done.call_ids | shown, parallel=offer.parallel)


def _given_up(reply: Reply, end: End) -> Reply:
    """The text of an answer is kept also where it is the last of several bad ones; its calls are not."""
    return Reply(message_id=reply.message_id, context=reply.context, answer=reply.answer, end=end)
