"""Makes room in a full context window: older messages become a summary, written by the same model.

The summary is an entry of the conversation, and says from where on entries are still shown to the model; nothing is
deleted. It is written together with what the run does next, so a crash before that repeats the compaction and a crash
after it finds the compaction done.

What is done when the summary fails: a passing failure is repeated like any model call. A failure that is about these
messages (the model refuses them, gives nothing, cannot take them) leaves them out without a summary, and says so in the
entries. Any other would meet the run's own call as well and fails the run, with the conversation as it was.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC

import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server import ids
from sendoff_server.body import Live, Step, Work
from sendoff_server.clock import Clock, timestamp
from sendoff_server.context import summary, tokens
from sendoff_server.context.boundaries import first_kept
from sendoff_server.context.context import Context
from sendoff_server.context.pictures import Pictures
from sendoff_server.context.retry import RetryPolicy
from sendoff_server.context.summarizer import Summarizer
from sendoff_server.context.window import Window, off_by
from sendoff_server.lifecycle import compaction_position, output_position
from sendoff_server.models.port import Answer, Model, ModelCall, ModelFailed

CHECK = "post_step_context_check"
EXCEEDED = "context_window_exceeded"
REQUESTED = "requested"

_ABOUT_THE_MESSAGES = frozenset({"MODEL_REFUSED", "MODEL_ANSWER_INVALID", "MODEL_REJECTED_REQUEST", "CONTEXT_OVERFLOW"})
_MOST_ENTRIES = 2
_KEPT_ON_REQUEST = 0.3
"""Of what the messages take."""
_SHARES = (0.9, 0.45, 0.2)
"""Of the window, for what is to be summarized; the next where the provider says that it is too much."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCall:
    """The model call of a step."""

    work: Work
    step: Step
    """Without an id: of a run that has no steps."""
    live: Live
    model: Model
    handle: str
    settings: v1.ModelSettings = field(default_factory=v1.ModelSettings)
    """How the model is called."""
    window_limit: int = 0
    """Most tokens of a context by the settings; 0: they do not tell."""
    timezone: str = ""
    """In which the model is told times."""
    compaction: v1.CompactionSettings = field(default_factory=v1.CompactionSettings)
    """How a full context is compacted."""
    summarizing: Model | None = None
    """The model that the compaction names. None: it names none, or there is no such model any more."""

    @property
    def info(self) -> v1.Model:
        """The model, under the handle by which it was asked for."""
        if self.model.info.handle == self.handle:
            return self.model.info
        info = v1.Model()
        info.CopyFrom(self.model.info)
        info.handle = self.handle
        return info

    @property
    def summarizer(self) -> Summarizer:
        model, handle = (self.summarizing, self.compaction.model) if self.summarizing else (self.model, self.handle)
        return Summarizer(settings=self.compaction, model=model, handle=handle, own_settings=self.settings)

    @property
    def window(self) -> Window:
        return Window.of(self.model.info, self.window_limit)


@dataclass(frozen=True, slots=True)
class _Written:
    """What came of summarizing."""

    text: str = ""
    failure: str = ""
    usage: v1.Usage = field(default_factory=v1.Usage)


class Compactor:
    """Compacts contexts."""

    def __init__(self, retry: RetryPolicy, clock: Clock, pictures: Pictures) -> None:
        self._retry = retry
        self._clock = clock
        self._pictures = pictures

    async def make_room(self, call: StepCall, context: Context, filled: int) -> Context:
        """The context as it is to be shown, if it now takes `filled` tokens. Raises ModelFailed."""
        window = call.window
        if window.surely_too_small(context.fixed_tokens):
            raise does_not_fit(call, context.fixed_tokens)
        if context.is_whole and not (context.history and window.is_full(filled)):
            return context
        wrong = off_by(context.estimated_tokens, filled)
        return await self._compacted(call, context, window.divided(wrong), CHECK, filled)

    async def after_overflow(self, call: StepCall, context: Context, overflow: ModelFailed) -> Context:
        """A smaller context than one that the provider says is too large, which is at least as large as the window,
        whatever our guess. Raises ModelFailed."""
        if not context.history:
            raise does_not_fit(call, context.fixed_tokens, overflow)
        estimated = context.estimated_tokens
        return await self._compacted(call, context, call.window.at_most(estimated), EXCEEDED, estimated)

    async def on_request(self, call: StepCall, context: Context, filled: int) -> None:
        """A smaller context, though this one may well fit. Does nothing where it would not hold fewer messages. Nobody
        is in need of the room, so a summary that fails leaves everything as it was: raises ModelFailed."""
        kept_from = _kept_on_request(call.summarizer, context)
        if 1 + len(context.history) - kept_from < len(context.messages):
            window = call.window.divided(off_by(context.estimated_tokens, filled))
            await self._compacted(call, context, window, REQUESTED, filled, kept_from)

    async def _compacted(
        self,
        call: StepCall,
        context: Context,
        window: Window,
        trigger: str,
        filled: int,
        kept_from: int | None = None,
    ) -> Context:
        """`window` in tokens as we guess them, `filled` in the provider's. `kept_from`: index of the first entry to
        keep; None for as many as the window has room for."""
        place = _free_place(call, context)
        if kept_from is None:
            kept_from = _kept_from(call.summarizer, context, window)
        await call.live.compacting()
        written = await self._summary(call, context, context.history[:kept_from], window)
        if trigger == REQUESTED and written.failure:
            raise _no_summary(call, written.failure)
        compaction = summary.Compaction(
            trigger=trigger,
            summary=written.text or summary.kept_words(context.summary),
            failure=written.failure,
            has_gap=not context.is_whole,
            tokens_before=filled,
            window=call.window.tokens,
            messages_before=len(context.messages),
            messages_after=1 + len(context.history) - kept_from + len(context.input),
        )
        smaller = _begun_at(context, kept_from, compaction)
        after = int(smaller.estimated_tokens * off_by(context.estimated_tokens, filled))
        entries = self._entries(call, place, smaller, replace(compaction, tokens_after=after))
        call.live.compacted(entries)
        call.live.spent(written.usage)
        return replace(smaller, newest_position=entries[-1].position)

    async def _summary(
        self, call: StepCall, context: Context, dropped: Sequence[v1.Message], window: Window
    ) -> _Written:
        if not dropped:
            return _Written(failure="HISTORY_TOO_LARGE")
        failure, writer, shown = "", call.summarizer, call.summarizer.window(window)
        for share in (None, *_SHARES) if writer.is_agent_itself else _SHARES:
            if share is None:
                question = await self._asked_itself(call, context, dropped, window.summary_tokens)
            else:
                most = int(shown.tokens * share) - writer.prompt_tokens(window.summary_tokens) - window.summary_tokens
                text = summary.transcript(context.summary, dropped, most)
                question = writer.of_text(text, window.summary_tokens, call.work.run.id)
            try:
                answer = await self._retry.repeated(call.live, _asking(call, writer, question))
            except ModelFailed as failed:
                if failed.reason not in _ABOUT_THE_MESSAGES:
                    raise
                failure = failed.reason
                if failure != "CONTEXT_OVERFLOW":
                    break
            else:
                words = writer.clipped(summary.words_of(answer.parts, window.summary_tokens))
                return _Written(words, "" if words else "MODEL_ANSWER_INVALID", answer.usage)
        log.warning("older messages are left out without a summary", run_id=call.work.run.id, reason=failure)
        return _Written(failure=failure)

    async def _asked_itself(
        self, call: StepCall, context: Context, dropped: Sequence[v1.Message], summary_tokens: int
    ) -> ModelCall:
        """The question to the agent itself, behind what it is about to forget."""
        history = [context.summary, *dropped] if context.summary else list(dropped)
        if not context.is_plain:
            fetches = call.summarizer.model.wants_image_bytes
            history = await self._pictures.shown(call.work.tenant, history, fetches=fetches)
        return call.summarizer.of_history(context.system, history, summary_tokens, call.work.run.id)

    def _entries(
        self, call: StepCall, place: int, smaller: Context, compaction: summary.Compaction
    ) -> list[v1.Message]:
        """What is written: kinds of their own, or one message of a user, as the request wants it."""
        now = timestamp(self._clock.now_ns())
        if call.work.request.include_compaction_messages:
            entries = summary.structured(compaction)
        else:
            entries = summary.as_alert(compaction, now.ToDatetime(UTC).isoformat(timespec="seconds"))
        for number, entry in enumerate(entries):
            _complete(entry, call, now, place + number)
        kept = [*smaller.history, *smaller.input]
        entries[-1].context_start = kept[0].position if kept else place
        return entries


def _complete(entry: v1.Message, call: StepCall, now: Timestamp, position: int) -> None:
    """Fill in what all entries have."""
    run = call.work.run
    entry.id = ids.derive("message", run.id, "compaction", position)
    entry.otid = ids.otid(entry.id, 0)
    entry.create_time.CopyFrom(now)
    entry.agent_id = run.agent_id
    entry.run_id = run.id
    if call.step.id:
        entry.step_id = call.step.id
    entry.position = position
    if run.HasField("conversation_id"):
        entry.conversation_id = run.conversation_id


def _free_place(call: StepCall, context: Context) -> int:
    """The position of the next entry in front of the step's answer. Raises ModelFailed if there is none: the step was
    compacted again and again, and that did not help."""
    place = max(compaction_position(call.work.seq, call.step.index), context.newest_position + 1)
    if place + _MOST_ENTRIES > output_position(call.work.seq, call.step.index, 0):
        raise does_not_fit(call, context.estimated_tokens)
    return place


def _begun_at(context: Context, kept_from: int, compaction: summary.Compaction) -> Context:
    told = summary.as_told(summary.structured(compaction)[-1])
    return replace(context, summary=told, history=context.history[kept_from:], is_whole=True)


def _kept_on_request(writer: Summarizer, context: Context) -> int:
    """The same, where there is no need for room: a share of what there is, not of the window."""
    if writer.keeps_nothing:
        return len(context.history)
    share = _KEPT_ON_REQUEST if writer.kept_share is None else writer.kept_share
    return first_kept(context.history, int(tokens.of_entries(context.history) * share))


def _kept_from(writer: Summarizer, context: Context, window: Window) -> int:
    """Index of the first entry that is kept word for word."""
    if writer.keeps_nothing:
        return len(context.history)
    return first_kept(context.history, window.kept_tokens(context.fixed_tokens, writer.kept_share))


def _asking(call: StepCall, writer: Summarizer, question: ModelCall) -> Callable[[int], Awaitable[Answer]]:
    """Asks for a summary. Its pieces are shown to nobody: it is no answer of the run."""

    async def ask(attempt: int) -> Answer:
        if attempt:
            await call.live.compacting()
        await call.live.sure()
        async with aclosing(writer.model.stream(replace(question, attempt=attempt))) as stream:
            async for event in stream:
                if isinstance(event, Answer):
                    return event
        raise AssertionError("a model's stream ends with its answer")

    return ask


def _no_summary(call: StepCall, failure: str) -> ModelFailed:
    told = f"{call.handle} has not summarized the older messages ({failure})"
    metadata = {"handle": call.handle, "failure": failure}
    return ModelFailed(failure, v1.StopReason.STOP_REASON_INVALID_LLM_RESPONSE, told, metadata=metadata)


def does_not_fit(call: StepCall, context_tokens: int, overflow: ModelFailed | None = None) -> ModelFailed:
    """Nothing is left that could be summarized, and yet it is too much."""
    window = call.window
    holds = f"holds {window.tokens}" if window.is_known else "is not known"
    told = (
        f"system prompt and input take about {context_tokens} tokens without the older messages, and the context "
        f"window of {call.handle} {holds}; send less, or use a model with a larger window"
    )
    metadata = {"handle": call.handle, "tokens": str(context_tokens)}
    if window.is_known:
        metadata["context_window"] = str(window.tokens)
    if overflow is not None:
        told = f"{overflow.message}: {told}"
        metadata = {**overflow.metadata, **metadata}
    reason = v1.StopReason.STOP_REASON_CONTEXT_WINDOW_OVERFLOW_IN_SYSTEM_PROMPT
    return ModelFailed("CONTEXT_OVERFLOW", reason, told, metadata=metadata)
