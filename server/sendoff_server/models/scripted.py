"""Models that do what they are told, for tests, benchmarks and trying things out. They need no network and no weights.

`scripted/echo` answers "You said: ..." word by word. `scripted/script` plays the script that it finds as the whole text
of the last user message, else as the whole system prompt: one JSON object `{"script": {...}}` with the members of
`Script`. `scripted/small` does what it finds, a script or an echo, and has a small context window that it guards: it
counts a token for every four bytes that it is shown, and refuses more than it can hold. For example

    {"script": {"words": 50, "delay_ms": 20}}
    {"script": {"text": "Hello there", "error": {"kind": "overloaded", "after_chunks": 1, "attempts": 2}}}
    {"script": {"tool_calls": [{"name": "weather", "arguments": {"city": "Ulm"}}]}}
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sendoff import v1
from sendoff_server.clock import Clock
from sendoff_server.models.failures import empty_answer, failed
from sendoff_server.models.port import Answer, Delta, DeltaKind, Finish, Model, ModelCall

NAME = "scripted"
ECHO = "scripted/echo"
SCRIPT = "scripted/script"
SMALL = "scripted/small"

Gate = Callable[[ModelCall, int], Awaitable[None]]
"""Awaited with the call and the number of chunks that were sent: with 0 when the call begins, before each further
chunk, and before the end. A test holds calls with it and learns how far they are."""

SMALL_WINDOW = 1_000
_CONTEXT_WINDOW = 2_000_000
_BYTES_PER_TOKEN = 4
_CHUNKS_WITHOUT_A_BREAK = 64  # a script without delays lets others run after so many
_MOST_MILLISECONDS = 24 * 3_600_000
_PIECE = re.compile(r"\S+\s*|\s+")
_NO_SCRIPT = (
    f'{SCRIPT} needs a script: one JSON object {{"script": {{...}}}} as the whole last user message, '
    "or as the whole system prompt"
)
_WORDS = ("the", "quiet", "harbour", "keeps", "seven", "lanterns", "burning", "until", "morning")
_REASONS = {
    "rate_limit": "MODEL_RATE_LIMITED",
    "overloaded": "MODEL_OVERLOADED",
    "unavailable": "MODEL_UNAVAILABLE",
    "timeout": "MODEL_TIMEOUT",
    "authentication": "MODEL_AUTHENTICATION",
    "quota": "MODEL_QUOTA_EXCEEDED",
    "context": "CONTEXT_OVERFLOW",
    "rejected": "MODEL_REJECTED_REQUEST",
    "invalid": "MODEL_ANSWER_INVALID",
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ScriptedUsage(_Strict):
    """What the answer claims to have used. A member that is left out is unknown, `total_tokens` is the sum if that is
    known."""

    prompt_tokens: int | None = Field(default=None, ge=0)
    completion_tokens: int | None = Field(default=None, ge=0)
    total_tokens: int | None = Field(default=None, ge=0)
    cached_input_tokens: int | None = Field(default=None, ge=0)
    cache_write_tokens: int | None = Field(default=None, ge=0)
    reasoning_tokens: int | None = Field(default=None, ge=0)
    cost_microusd: int | None = Field(default=None, ge=0)


class ScriptedToolCall(_Strict):
    """A tool call. Arguments that are a string are taken as the model's raw text, valid JSON or not."""

    name: str = Field(min_length=1)
    arguments: dict[str, Any] | str = Field(default_factory=dict)


class ScriptedError(_Strict):
    """A failure of the call after `after_chunks` chunks, or after all of them if there are fewer."""

    kind: Literal[
        "rate_limit",
        "overloaded",
        "unavailable",
        "timeout",
        "authentication",
        "quota",
        "context",
        "rejected",
        "invalid",
    ]
    after_chunks: int = Field(default=0, ge=0)
    attempts: int | None = Field(default=None, ge=0)
    """Fail only while `ModelCall.attempt` is less. None: always."""
    retry_after_s: float | None = Field(default=None, ge=0)


class Script(_Strict):
    """What `scripted/script` does: reasoning, then text, then tool calls, in chunks; then it fails, hangs or ends."""

    text: str | None = None
    words: int | None = Field(default=None, ge=1, le=1_000_000)
    """Instead of `text`: so many made-up words, always the same."""
    chunk_words: int = Field(default=1, ge=1)
    delay_ms: float = Field(default=0, ge=0, le=_MOST_MILLISECONDS)
    """Between two chunks."""
    first_delay_ms: float = Field(default=0, ge=0, le=_MOST_MILLISECONDS)
    reasoning: str = ""
    usage: ScriptedUsage | None = None
    """None: one token for each word of the last user message and of the answer."""
    finish: Literal["stop", "length", "refused", "tool_calls"] | None = None
    """None: tool_calls if there are some, else stop."""
    tool_calls: tuple[ScriptedToolCall, ...] = Field(default=(), strict=False)
    error: ScriptedError | None = None
    hang: bool = False
    """After the chunks, wait until cancelled."""

    @model_validator(mode="after")
    def _one_text(self) -> Script:
        if self.text is not None and self.words is not None:
            raise ValueError("text and words exclude each other")
        return self


class _Sheet(_Strict):
    script: Script


@dataclass(frozen=True, slots=True)
class _Performance:
    """A script made ready to be played, as often as one likes."""

    script: Script
    deltas: Sequence[Delta]
    answer: Answer


class ScriptedModel(Model):
    """Plays a script, or echoes."""

    def __init__(self, info: v1.Model, clock: Clock, gate: Gate | None = None) -> None:
        self._info = info
        self._clock = clock
        self._gate = gate
        self._choose = {ECHO: _echo, SMALL: _small}.get(info.handle, _scripted)

    @property
    def info(self) -> v1.Model:
        return self._info

    async def stream(self, call: ModelCall) -> AsyncGenerator[Delta | Answer]:
        play = self._choose(call)
        script, deltas = play.script, play.deltas
        failing_at = _failing_at(script, call.attempt, len(deltas))
        for sent in range(len(deltas) + 1):
            await self._pause(call, play, sent)
            if sent == failing_at:
                raise _failure(script)
            if sent < len(deltas):
                yield deltas[sent]
        if script.hang:
            await asyncio.Event().wait()
        if not play.answer.parts and play.answer.finish is not Finish.REFUSED:
            raise empty_answer(call.handle)
        yield play.answer

    async def _pause(self, call: ModelCall, play: _Performance, sent: int) -> None:
        """What lies in front of chunk number `sent`, or of the end."""
        if self._gate is not None:
            await self._gate(call, sent)
        delay_ms = play.script.delay_ms if sent else play.script.first_delay_ms
        if delay_ms and (sent < len(play.deltas) or not sent):
            await self._clock.sleep(delay_ms / 1000)
        elif sent and sent % _CHUNKS_WITHOUT_A_BREAK == 0:
            await asyncio.sleep(0)


class ScriptedModels:
    """The provider of the scripted models."""

    name = NAME

    def __init__(self, clock: Clock, gate: Gate | None = None) -> None:
        windows = {ECHO: _CONTEXT_WINDOW, SCRIPT: _CONTEXT_WINDOW, SMALL: SMALL_WINDOW}
        infos = [v1.Model(handle=handle, context_window=window) for handle, window in windows.items()]
        self._models = {info.handle.partition("/")[2]: ScriptedModel(info, clock, gate) for info in infos}

    async def list(self) -> Sequence[v1.Model]:
        return [model.info for model in self._models.values()]

    def model(self, name: str) -> Model:
        return self._models[name]

    async def aclose(self) -> None:
        """Nothing is held."""


def last_user_text(messages: Sequence[v1.Message]) -> str:
    """The text of the newest user message, its text parts joined; empty if there is none."""
    for message in reversed(messages):
        if message.WhichOneof("kind") == "user_message":
            return _joined(message.user_message.content)
    return ""


def _echo(call: ModelCall) -> _Performance:
    said = last_user_text(call.messages)
    return _prepared(Script(text=f"You said: {said}"), said)


def _scripted(call: ModelCall) -> _Performance:
    said = last_user_text(call.messages)
    for text in (said, call.system):
        if _looks_like_a_script(text):
            return _read_cached(text) if len(text) <= 8_192 else _read(text)
    raise failed("MODEL_REJECTED_REQUEST", _NO_SCRIPT)


def _small(call: ModelCall) -> _Performance:
    shown = _counted(call.system) + sum(map(_counted, map(_text_of, call.messages)))
    if shown > SMALL_WINDOW:
        raise failed("CONTEXT_OVERFLOW", f"{shown} tokens are shown to {SMALL}, which holds {SMALL_WINDOW}")
    said = last_user_text(call.messages)
    play = _scripted(call) if _looks_like_a_script(said) or _looks_like_a_script(call.system) else _echo(call)
    if play.script.usage is not None:
        return play
    answered = sum(_counted(delta.text) for delta in play.deltas)
    usage = v1.Usage(prompt_tokens=shown, completion_tokens=answered, total_tokens=shown + answered)
    return replace(play, answer=replace(play.answer, usage=usage))


def _counted(text: str) -> int:
    return -(-len(text.encode()) // _BYTES_PER_TOKEN)


def _text_of(message: v1.Message) -> str:
    match message.WhichOneof("kind"):
        case "system_message":
            return message.system_message.content
        case "summary_message":
            return message.summary_message.summary
        case "assistant_message":
            return _joined(message.assistant_message.content)
        case _:
            return _joined(message.user_message.content)


def _joined(content: v1.Content) -> str:
    return content.text if content.HasField("text") else "".join(part.text.text for part in content.parts.parts)


def _looks_like_a_script(text: str) -> bool:
    return '"script"' in text and text.lstrip().startswith("{")


def _read(text: str) -> _Performance:
    try:
        return _prepared(_Sheet.model_validate_json(text).script, text)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()[:8])
        raise failed("MODEL_REJECTED_REQUEST", f"the script cannot be played: {faults}") from None


_read_cached = lru_cache(maxsize=256)(_read)


def _prepared(script: Script, said: str) -> _Performance:
    text = _made_up(script.words) if script.words else script.text or ""
    deltas: list[Delta] = []
    parts: list[v1.ContentPart] = []
    if script.reasoning:
        deltas += _chunks(script.reasoning, script.chunk_words, len(parts), DeltaKind.REASONING)
        parts.append(v1.ContentPart(reasoning=v1.Reasoning(reasoning=script.reasoning, is_native=True)))
    if text:
        deltas += _chunks(text, script.chunk_words, len(parts), DeltaKind.TEXT)
        parts.append(v1.ContentPart(text=v1.Text(text=text)))
    for number, tool_call in enumerate(script.tool_calls):
        arguments = _arguments(tool_call)
        deltas.append(Delta(len(parts), DeltaKind.TOOL_ARGUMENTS, arguments))
        parts.append(
            v1.ContentPart(
                tool_call=v1.ToolCallPart(id=f"call_{number}", name=tool_call.name, input=v1.JsonObject(json=arguments))
            )
        )
    finish = Finish(script.finish or ("tool_calls" if script.tool_calls else "stop"))
    return _Performance(script, deltas, Answer(parts=parts, usage=_usage(script, said, text), finish=finish))


def _chunks(text: str, words: int, part_index: int, kind: DeltaKind) -> list[Delta]:
    pieces = iter(_PIECE.findall(text))
    return [Delta(part_index, kind, chunk) for chunk in iter(lambda: "".join(islice(pieces, words)), "")]


def _made_up(words: int) -> str:
    times, rest = divmod(words, len(_WORDS))
    return " ".join(_WORDS * times + _WORDS[:rest])


def _arguments(tool_call: ScriptedToolCall) -> str:
    return tool_call.arguments if isinstance(tool_call.arguments, str) else json.dumps(tool_call.arguments)


def _usage(script: Script, said: str, text: str) -> v1.Usage:
    if script.usage is None:
        prompt, completion = len(said.split()), len(script.reasoning.split()) + len(text.split())
        return v1.Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
    usage = v1.Usage(**script.usage.model_dump(exclude_none=True))
    if not usage.HasField("total_tokens") and usage.HasField("prompt_tokens") and usage.HasField("completion_tokens"):
        usage.total_tokens = usage.prompt_tokens + usage.completion_tokens
    return usage


def _failing_at(script: Script, attempt: int, chunks: int) -> int | None:
    error = script.error
    if error is None or (error.attempts is not None and attempt >= error.attempts):
        return None
    return min(error.after_chunks, chunks)


def _failure(script: Script) -> Exception:
    assert script.error is not None
    kind, retry_after_s = script.error.kind, script.error.retry_after_s
    return failed(_REASONS[kind], f"the script says so: {kind}", retry_after_s=retry_after_s, kind=kind)
