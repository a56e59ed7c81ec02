"""Models that do what they are told, for tests, benchmarks and trying things out. They need no network and no weights.

`scripted/echo` answers "You said: ..." word by word. `scripted/script` plays the script that it finds as the whole text
of the last user message, else as the whole system prompt: one JSON object `{"script": {...}}` with the members of
`Script`. `scripted/small` does what it finds, a script or an echo, and has a small context window that it guards: it
counts a token for every four bytes that it is shown, and refuses more than it can hold. For example

    {"script": {"words": 50, "delay_ms": 20}}
    {"script": {"text": "Hello there", "error": {"kind": "overloaded", "after_chunks": 1, "attempts": 2}}}
    {"script": {"tool_calls": [{"name": "weather", "arguments": {"city": "Ulm"}}]}}
    {"script": {"steps": [{"tool_calls": [{"name": "weather"}]}, {"text": "It rains."}]}}

Which step is played is told by the number of answers since the user's newest message, in whichever run they came. After
the last step, and after a script without steps, the answer is "done". Whoever must call a tool and plays no script
calls the first one, without arguments.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from google.protobuf.json_format import MessageToDict

from sendoff import v1
from sendoff_server.clock import Clock
from sendoff_server.models.failures import empty_answer, failed
from sendoff_server.models.performance import Performance, prepared, shortened
from sendoff_server.models.port import Answer, Delta, Finish, Model, ModelCall
from sendoff_server.models.script import ScriptedStep, ScriptedToolCall, looks_like_a_script, read
from sendoff_server.models.settable import EVERYTHING

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
_NO_SCRIPT = (
    f'{SCRIPT} needs a script: one JSON object {{"script": {{...}}}} as the whole last user message, '
    "or as the whole system prompt"
)
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
_ANSWERS = frozenset(
    {
        "assistant_message",
        "reasoning_message",
        "hidden_reasoning_message",
        "tool_call_message",
        "approval_request_message",
    }
)
_WORDS_OF_THE_SERVER = re.compile(r'\s*\{\s*"type"\s*:\s*"(heartbeat|system_alert)"')
"""How a user message begins that no user wrote."""


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
        if most := call.settings.max_output_tokens:
            play = shortened(play, most, last_user_text(call.messages))
        step, deltas = play.step, play.deltas
        failing_at = _failing_at(step, call.attempt, len(deltas))
        for sent in range(len(deltas) + 1):
            await self._pause(call, play, sent)
            if sent == failing_at:
                raise _failure(step)
            if sent < len(deltas):
                yield deltas[sent]
        if step.hang:
            await asyncio.Event().wait()
        if not play.answer.parts and play.answer.finish is not Finish.REFUSED:
            raise empty_answer(call.handle)
        yield play.answer_to(call)

    async def _pause(self, call: ModelCall, play: Performance, sent: int) -> None:
        """What lies in front of chunk number `sent`, or of the end."""
        if self._gate is not None:
            await self._gate(call, sent)
        delay_ms = play.step.delay_ms if sent else play.step.first_delay_ms
        if delay_ms and (sent < len(play.deltas) or not sent):
            await self._clock.sleep(delay_ms / 1000)
        elif sent and sent % _CHUNKS_WITHOUT_A_BREAK == 0:
            await asyncio.sleep(0)


class ScriptedModels:
    """The provider of the scripted models."""

    name = NAME

    def __init__(self, clock: Clock, gate: Gate | None = None) -> None:
        windows = {ECHO: _CONTEXT_WINDOW, SCRIPT: _CONTEXT_WINDOW, SMALL: SMALL_WINDOW}
        infos = [
            EVERYTHING.put(
                v1.Model(
                    handle=handle,
                    context_window=window,
                    supports_logprobs=True,
                    supports_token_ids=True,
                    input_microusd_per_mtok=0,  # but a script may claim any cost
                    output_microusd_per_mtok=0,
                )
            )
            for handle, window in windows.items()
        ]
        self._models = {info.handle.partition("/")[2]: ScriptedModel(info, clock, gate) for info in infos}

    async def list(self) -> Sequence[v1.Model]:
        return [model.info for model in self._models.values()]

    def model(self, name: str) -> Model:
        return self._models[name]

    async def aclose(self) -> None:
        """Nothing is held."""


def last_user_text(messages: Sequence[v1.Message]) -> str:
    """The text of the newest message that a user wrote, its text parts joined; empty if there is none."""
    for message in reversed(messages):
        if _is_a_users(message):
            return _joined(message.user_message.content)
    return ""


def _is_a_users(message: v1.Message) -> bool:
    """Whether a user wrote it, and not the server in the user's place."""
    if message.WhichOneof("kind") != "user_message" or message.HasField("context_start"):
        return False
    return not _WORDS_OF_THE_SERVER.match(message.user_message.content.text)


def _answers_so_far(messages: Sequence[v1.Message]) -> int:
    """How many answers of the model stand behind the user's newest message."""
    answers: set[str] = set()
    for message in reversed(messages):
        if _is_a_users(message):
            break
        if message.WhichOneof("kind") in _ANSWERS:
            answers.add(message.id)
    return len(answers)


def _echo(call: ModelCall) -> Performance:
    said = last_user_text(call.messages)
    return _unscripted(call, f"You said: {said}", said)


def _unscripted(call: ModelCall, text: str, said: str) -> Performance:
    """Text, or the first tool if one must be called."""
    if call.must_call and call.tools:
        return prepared(ScriptedStep(tool_calls=(ScriptedToolCall(name=call.tools[0].name),)), said)
    return prepared(ScriptedStep(text=text), said)


def _scripted(call: ModelCall) -> Performance:
    said = last_user_text(call.messages)
    for text in (said, call.system):
        if looks_like_a_script(text):
            plays = _plays_cached(text) if len(text) <= 8_192 else _plays(text)
            play = plays.at(_answers_so_far(call.messages))
            return _unscripted(call, "done", said) if play is None else _expected(call, play)
    raise failed("MODEL_REJECTED_REQUEST", _NO_SCRIPT)


def _expected(call: ModelCall, play: Performance) -> Performance:
    """The performance itself. Raises ModelFailed if its step expects to be called in another way."""
    offered, expected = sorted(tool.name for tool in call.tools), play.step.expect_tools
    if expected is not None and sorted(expected) != offered:
        raise failed("MODEL_REJECTED_REQUEST", f"the script expects the tools {sorted(expected)}, not {offered}")
    if play.step.expect_must_call not in (None, call.must_call):
        raise failed("MODEL_REJECTED_REQUEST", f"the script does not expect must_call to be {call.must_call}")
    if (wanted := play.step.expect_settings) is not None:
        settings = MessageToDict(call.settings, preserving_proto_field_name=True)
        if wanted != settings:
            raise failed("MODEL_REJECTED_REQUEST", f"the script expects the settings {wanted}, not {settings}")
    if play.step.expect_messages not in (None, len(call.messages)):
        raise failed("MODEL_REJECTED_REQUEST", f"the script does not expect {len(call.messages)} messages")
    return play


def _small(call: ModelCall) -> Performance:
    shown = _counted(call.system) + sum(map(_counted, map(_text_of, call.messages)))
    if shown > SMALL_WINDOW:
        raise failed("CONTEXT_OVERFLOW", f"{shown} tokens are shown to {SMALL}, which holds {SMALL_WINDOW}")
    said = last_user_text(call.messages)
    play = _scripted(call) if looks_like_a_script(said) or looks_like_a_script(call.system) else _echo(call)
    if play.step.usage is not None:
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
        case "tool_call_message":
            return "".join(call.name + call.arguments for call in message.tool_call_message.tool_calls)
        case "approval_request_message":
            return "".join(call.name + call.arguments for call in message.approval_request_message.tool_calls)
        case "tool_return_message":
            return "".join(_joined(told.tool_return) for told in message.tool_return_message.tool_returns)
        case _:
            return _joined(message.user_message.content)


def _joined(content: v1.Content) -> str:
    return content.text if content.HasField("text") else "".join(part.text.text for part in content.parts.parts)


@dataclass(frozen=True, slots=True)
class _Plays:
    """The performances of a script, step by step."""

    steps: Sequence[Performance]
    repeats: bool

    def at(self, step: int) -> Performance | None:
        """None after the last one."""
        if step < len(self.steps):
            return self.steps[step]
        return self.steps[-1] if self.repeats else None


def _plays(text: str) -> _Plays:
    script = read(text)
    return _Plays([prepared(step, text) for step in script.played], script.repeat)


_plays_cached = lru_cache(maxsize=256)(_plays)


def _failing_at(step: ScriptedStep, attempt: int, chunks: int) -> int | None:
    error = step.error
    if error is None or (error.attempts is not None and attempt >= error.attempts):
        return None
    return min(error.after_chunks, chunks)


def _failure(step: ScriptedStep) -> Exception:
    assert step.error is not None
    kind, retry_after_s = step.error.kind, step.error.retry_after_s
    return failed(_REASONS[kind], f"the script says so: {kind}", retry_after_s=retry_after_s, kind=kind)
