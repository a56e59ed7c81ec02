"""From the model library's stream to our answer: deltas as they come, and in the end the parts that they add up to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pydantic_ai.messages import (
    ModelResponsePart,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)

from sendoff import v1
from sendoff_server.models.mapping import REDACTED
from sendoff_server.models.port import Delta, DeltaKind
from sendoff_server.models.seals import OF_A_CALL, seal, seal_of_call

_NOWHERE = -1
_IN_THE_TEXT = "content"  # the part id by which the library marks reasoning that stood between tags in the text
_NOT_THE_PROVIDERS_IDS = frozenset({"", _IN_THE_TEXT, "reasoning", "reasoning_content"})  # names of fields, not ids


@dataclass(slots=True)
class _Growing:
    """A part that is being written. It gets its place when it first has something to show or to keep."""

    kind: DeltaKind
    place: int = _NOWHERE
    pieces: list[str] = field(default_factory=list)
    held: str = ""
    """The first half of a character that came without its second half yet."""
    part_id: str = ""
    signature: str = ""
    sealed: str = ""
    """What to keep as the signature, instead of the part's own."""
    tool_name: str = ""
    tool_call_id: str = ""

    def going_on(self) -> _Growing:
        """The part that goes on with it behind others."""
        held, self.held = self.held, ""
        return _Growing(self.kind, held=held, part_id=self.part_id)


class GrowingAnswer:
    """The answer of one call. `take` each event of the library, then `end`, then read `parts`."""

    def __init__(self, system: str) -> None:
        self._system = system
        self._growing: dict[int, _Growing] = {}
        self._placed: list[_Growing] = []

    def take(self, event: ModelResponseStreamEvent) -> Delta | None:
        """The delta of that event, if it has one. Kinds of parts that we do not know are left out."""
        if isinstance(event, PartDeltaEvent):
            part = self._growing.get(event.index)
            if part is not None and self._was_left(part, event):
                part = self._growing[event.index] = part.going_on()
            return self._grow(part, event) if part is not None else None
        if isinstance(event, PartStartEvent):
            return self._start(event.index, event.part)
        return None

    def end(self) -> Iterator[Delta]:
        """What is left to say when the stream has ended well."""
        self._place_hidden()
        for part in self._placed:
            # Behind a text that others have followed nothing is shown any more, least of all half a character.
            if part.held and (part is self._placed[-1] or part.kind is DeltaKind.TOOL_ARGUMENTS):
                yield _written(part, "\N{REPLACEMENT CHARACTER}")
            part.held = ""

    def parts(self) -> Sequence[v1.ContentPart]:
        return [self._content_part(part) for part in self._placed]

    @property
    def says_something(self) -> bool:
        """Whether there is text or a tool call, not only reasoning."""
        return any(part.kind is not DeltaKind.REASONING for part in self._placed)

    @property
    def calls_tools(self) -> bool:
        return any(part.kind is DeltaKind.TOOL_ARGUMENTS for part in self._placed)

    def _start(self, index: int, started: ModelResponsePart) -> Delta | None:
        self._place_hidden()
        known = self._growing.get(index)
        if known is not None:
            return self._replace(known, started)
        if isinstance(started, TextPart):
            part, text = _Growing(DeltaKind.TEXT), started.content
        elif isinstance(started, ThinkingPart):
            part, text = _Growing(DeltaKind.REASONING), started.content
            part.part_id, part.signature = started.id or "", started.signature or ""
        elif isinstance(started, ToolCallPart):
            part, text = _Growing(DeltaKind.TOOL_ARGUMENTS), _arguments(started)
            part.tool_name, part.tool_call_id = whole(started.tool_name), started.tool_call_id
            self._keep_beside(part, started)
            self._place(part)
        else:
            return None
        self._growing[index] = part
        return self._append(part, text)

    def _was_left(self, part: _Growing, event: PartDeltaEvent) -> bool:
        """Whether more text comes for a part behind which another one has begun: it begins a part of its own, so that
        what is shown as it comes is in the order of the parts. Not what a provider knows as one thing."""
        delta = event.delta
        has_text = isinstance(delta, TextPartDelta | ThinkingPartDelta) and bool(delta.content_delta)
        is_left = _NOWHERE < part.place < len(self._placed) - 1
        return has_text and is_left and part.part_id in _NOT_THE_PROVIDERS_IDS

    def _replace(self, part: _Growing, started: ModelResponsePart) -> Delta | None:
        """The library tells a part again, whole: take what is new at its end."""
        text = _arguments(started) if isinstance(started, ToolCallPart) else getattr(started, "content", "")
        before = "".join(part.pieces)
        return self._append(part, text[len(before) :]) if text.startswith(before) else None

    def _grow(self, part: _Growing, event: PartDeltaEvent) -> Delta | None:
        delta = event.delta
        if isinstance(delta, TextPartDelta):
            return self._append(part, delta.content_delta)
        if isinstance(delta, ThinkingPartDelta):
            part.signature = delta.signature_delta or part.signature
            return self._append(part, delta.content_delta or "")
        if isinstance(delta, ToolCallPartDelta):
            part.tool_name += whole(delta.tool_name_delta or "")
            part.tool_call_id = delta.tool_call_id or part.tool_call_id
            self._keep_beside(part, delta)
            added = delta.args_delta
            return self._append(part, added if isinstance(added, str) else json.dumps(added) if added else "")
        return None

    def _append(self, part: _Growing, text: str) -> Delta | None:
        text = _joined(part, text)
        if not text:
            return None
        if part.place == _NOWHERE:
            self._place(part)
        return _written(part, text)

    def _place(self, part: _Growing) -> None:
        part.place = len(self._placed)
        self._placed.append(part)

    def _keep_beside(self, call: _Growing, told: ToolCallPart | ToolCallPartDelta) -> None:
        """What the provider wants back with a call is kept as reasoning that was omitted, a part of its own."""
        if extra := (told.provider_details or {}).get(OF_A_CALL):
            kept = seal_of_call(self._system, call.tool_call_id, extra)
            self._place(_Growing(DeltaKind.REASONING, sealed=kept))

    def _place_hidden(self) -> None:
        """Reasoning that shows nothing but has a signature is known to be whole when something else begins."""
        for part in self._growing.values():
            if part.place == _NOWHERE and part.signature:
                self._place(part)

    def _content_part(self, part: _Growing) -> v1.ContentPart:
        text = "".join(part.pieces)
        if part.kind is DeltaKind.TEXT:
            return v1.ContentPart(text=v1.Text(text=text))
        if part.kind is DeltaKind.TOOL_ARGUMENTS:
            call = v1.ToolCallPart(id=part.tool_call_id, name=part.tool_name, input=v1.JsonObject(json=text))
            return v1.ContentPart(tool_call=call)
        return self._reasoning(part, text)

    def _reasoning(self, part: _Growing, text: str) -> v1.ContentPart:
        kept = part.sealed or seal(self._system, part.part_id, part.signature)
        if part.part_id == REDACTED:
            return v1.ContentPart(redacted_reasoning=v1.RedactedReasoning(data=kept))
        if not text:
            return v1.ContentPart(omitted_reasoning=v1.OmittedReasoning(signature=kept))
        reasoning = v1.Reasoning(reasoning=text, is_native=part.part_id != _IN_THE_TEXT)
        if part.signature or part.part_id not in _NOT_THE_PROVIDERS_IDS:
            reasoning.signature = kept
        return v1.ContentPart(reasoning=reasoning)


def _written(part: _Growing, text: str) -> Delta:
    part.pieces.append(text)
    return Delta(part.place, part.kind, text)


def _arguments(call: ToolCallPart) -> str:
    return call.args if isinstance(call.args, str) else json.dumps(call.args) if call.args else ""


def _joined(part: _Growing, text: str) -> str:
    """The text with what was held of the chunk before, valid; half a character at its end is held for the next one."""
    if not part.held and text.isascii():
        return text
    text = part.held + text
    part.held = text[-1] if text and "\ud800" <= text[-1] <= "\udbff" else ""
    return whole(text[:-1] if part.held else text)


def whole(text: str) -> str:
    """Valid Unicode: halves that belong together are joined, others become U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
