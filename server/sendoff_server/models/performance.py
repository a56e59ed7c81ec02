"""A step of a script made ready to be played, as often as one likes: its chunks and its answer."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from sendoff import v1
from sendoff_server.models.port import Answer, Delta, DeltaKind, Finish, ModelCall
from sendoff_server.models.script import ScriptedStep, ScriptedToken, ScriptedToolCall

_PIECE = re.compile(r"\S+\s*|\s+")
_WORDS = ("the", "quiet", "harbour", "keeps", "seven", "lanterns", "burning", "until", "morning")


@dataclass(frozen=True, slots=True)
class Performance:
    """What a step shows, the same each time but for ids that must differ and tokens that nobody may ask for."""

    step: ScriptedStep
    deltas: Sequence[Delta]
    answer: Answer

    def answer_to(self, call: ModelCall) -> Answer:
        """The answer with ids of its own for its tool calls, and with what `call` wants to know of its tokens."""
        answer = self.answer
        if any(told.id is None for told in self.step.tool_calls):
            answer = replace(answer, parts=list(_with_ids(answer.parts, call)))
        if call.token_ids or call.top_logprobs is not None:
            answer = replace(answer, tokens=[_token_turn(self, call)])
        return answer


def shortened(play: Performance, most: int, said: str) -> Performance:
    """Cut off after so many tokens: a word of the text is one."""
    text = play.step.text if play.step.words is None else _made_up(play.step.words)
    if text is None or len(words := _PIECE.findall(text)) <= most:
        return play
    cut = play.step.model_copy(
        update={"text": "".join(words[:most]), "words": None, "tool_calls": (), "finish": "length"}
    )
    return prepared(cut, said)


def prepared(step: ScriptedStep, said: str) -> Performance:
    """`said` is what the user said, whose words are counted."""
    text = _made_up(step.words) if step.words else step.text or ""
    deltas: list[Delta] = []
    parts: list[v1.ContentPart] = []
    if step.reasoning:
        deltas += _chunks(step.reasoning, step.chunk_words, len(parts), DeltaKind.REASONING)
        parts.append(v1.ContentPart(reasoning=v1.Reasoning(reasoning=step.reasoning, is_native=True)))
    if text:
        deltas += _chunks(text, step.chunk_words, len(parts), DeltaKind.TEXT)
        parts.append(v1.ContentPart(text=v1.Text(text=text)))
    for tool_call in step.tool_calls:
        arguments = _arguments(tool_call)
        deltas.append(Delta(len(parts), DeltaKind.TOOL_ARGUMENTS, arguments))
        told = v1.ToolCallPart(id=tool_call.id or "", name=tool_call.name, input=v1.JsonObject(json=arguments))
        parts.append(v1.ContentPart(tool_call=told))
    finish = Finish(step.finish or ("tool_calls" if step.tool_calls else "stop"))
    return Performance(step, deltas, Answer(parts=parts, usage=_usage(step, said, text), finish=finish))


def _with_ids(parts: Sequence[v1.ContentPart], call: ModelCall) -> Iterator[v1.ContentPart]:
    """What makes a call another one: its run, its attempt, and the newest entry in front of it."""
    newest = call.messages[-1] if call.messages else v1.Message()
    maker = f"{call.run_id} {call.attempt} {len(call.messages)} {newest.id} {newest.position}"
    for number, part in enumerate(parts):
        if not part.HasField("tool_call") or part.tool_call.id:
            yield part
            continue
        digest = hashlib.blake2b(f"{maker} {number}".encode(), digest_size=12).hexdigest()
        told = v1.ToolCallPart(id=f"call_{digest}", name=part.tool_call.name, input=part.tool_call.input)
        yield v1.ContentPart(tool_call=told)


def _token_turn(play: Performance, call: ModelCall) -> v1.TokenTurn:
    tokens = play.step.tokens
    if tokens is None:
        tokens = tuple(_made_up_token(delta.text) for delta in play.deltas if delta.kind is DeltaKind.TEXT)
    turn = v1.TokenTurn(role="assistant", content="".join(told.token for told in tokens))
    if call.token_ids:
        turn.output_ids.extend(told.id for told in tokens)
        turn.output_token_logprobs.extend(told.logprob for told in tokens)
    if call.top_logprobs is not None:
        turn.logprobs.extend(_logprob(told, call.top_logprobs) for told in tokens)
    return turn


def _made_up_token(text: str) -> ScriptedToken:
    number = zlib.crc32(text.encode()) % 50_000
    return ScriptedToken(token=text, id=number, logprob=-(number % 1_000) / 1_000)


def _logprob(told: ScriptedToken, alternatives: int) -> v1.TokenLogprob:
    others = [(told.token, told.logprob), *((word, told.logprob - 1 - n) for n, word in enumerate(_WORDS * 3))]
    return v1.TokenLogprob(
        token=told.token,
        logprob=told.logprob,
        bytes=told.token.encode(),
        top_logprobs=[
            v1.TokenLogprob.Alternative(token=token, logprob=logprob, bytes=token.encode())
            for token, logprob in others[:alternatives]
        ],
    )


def _chunks(text: str, words: int, part_index: int, kind: DeltaKind) -> list[Delta]:
    pieces = iter(_PIECE.findall(text))
    return [Delta(part_index, kind, chunk) for chunk in iter(lambda: "".join(islice(pieces, words)), "")]


def _made_up(words: int) -> str:
    times, rest = divmod(words, len(_WORDS))
    return " ".join(_WORDS * times + _WORDS[:rest])


def _arguments(tool_call: ScriptedToolCall) -> str:
    return tool_call.arguments if isinstance(tool_call.arguments, str) else json.dumps(tool_call.arguments)


def _usage(step: ScriptedStep, said: str, text: str) -> v1.Usage:
    if step.usage is None:
        prompt, completion = len(said.split()), len(step.reasoning.split()) + len(text.split())
        return v1.Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
    usage = v1.Usage(**step.usage.model_dump(exclude_none=True))
    if not usage.HasField("total_tokens") and usage.HasField("prompt_tokens") and usage.HasField("completion_tokens"):
        usage.total_tokens = usage.prompt_tokens + usage.completion_tokens
    return usage
