"""Folds what a watch brings into the texts that a model has written, finished or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sendoff import v1
from sendoff.settled import Settled

Kind: TypeAlias = Literal["text", "reasoning", "tool_arguments"]
"""What a part is, by the names of the arms of MessageDelta."""


@dataclass(slots=True)
class Part:
    """One part of a model's answer."""

    message_id: str
    part_index: int
    kind: Kind
    text: str = ""
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What an entry did to a part, for those who show it as it grows."""

    part: Part
    added: str
    """To be put behind what was shown of this part, or in its place if `rewritten`.

    Empty if `rewritten`: forget what was shown.
    """
    rewritten: bool = False


class Transcript:
    """The texts of a run, or of the runs of a turn. Takes the entries of a watch in their order."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, int], Part] = {}
        self._settled = Settled()

    @property
    def parts(self) -> list[Part]:
        """All parts, in the order in which they were begun."""
        return list(self._parts.values())

    @property
    def text(self) -> str:
        """What the agent has said, its messages parted by empty lines; without reasoning and tool calls."""
        return "\n\n".join(part.text for part in self._parts.values() if part.kind == "text" and part.text)

    def apply(self, entry: v1.RunEvent | v1.MessageDelta | v1.RunSnapshot) -> list[Change]:
        """Take in an entry; what it changed, in order.

        Empty for entries without text, and for deltas that come too late.
        """
        if isinstance(entry, v1.MessageDelta):
            return list(self._apply_delta(entry))
        if isinstance(entry, v1.RunSnapshot):
            return list(self._apply_snapshot(entry))
        self._settled.note_event(entry)
        if entry.HasField("message"):
            return list(self._finish(entry.message))
        if entry.HasField("message_retracted"):
            return list(self._retract(entry.message_retracted.message_id))
        return []

    def _apply_snapshot(self, snapshot: v1.RunSnapshot) -> Iterator[Change]:
        self._settled.note_snapshot(snapshot)
        for message in snapshot.messages:
            yield from self._finish(message)
        for delta in snapshot.in_progress:
            yield from self._apply_delta(delta)

    def _apply_delta(self, delta: v1.MessageDelta) -> Iterator[Change]:
        kind = delta.WhichOneof("delta")
        if kind is None or self._settled.is_late(delta):
            return
        part = self._part(delta.message_id, delta.part_index, kind)
        piece: str = getattr(delta, kind)
        if delta.replaces:
            yield from _rewrite(part, piece)
        elif delta.offset <= len(part.text) < delta.offset + len(piece):
            added = piece[len(part.text) - delta.offset :]
            part.text += added
            yield Change(part, added)
        # else it is known already, or something before it was not seen: a delta that replaces, or the final
        # message, will tell.

    def _finish(self, message: v1.Message) -> Iterator[Change]:
        for kind, text in _final_texts(message):
            part = self._unfinished(message.id, kind)
            part.is_final = True
            yield from _rewrite(part, text)

    def _retract(self, message_id: str) -> Iterator[Change]:
        for key, part in list(self._parts.items()):
            if key[0] == message_id:
                del self._parts[key]
                yield Change(part, "", rewritten=True)

    def _part(self, message_id: str, part_index: int, kind: Kind) -> Part:
        return self._parts.setdefault((message_id, part_index), Part(message_id, part_index, kind))

    def _unfinished(self, message_id: str, kind: Kind) -> Part:
        """The first part of that kind that is still being written, or one behind all others of the message."""
        own = sorted((p for (owner, _), p in self._parts.items() if owner == message_id), key=lambda p: p.part_index)
        for part in own:
            if part.kind == kind and not part.is_final:
                return part
        return self._part(message_id, own[-1].part_index + 1 if own else 0, kind)


def content_text(content: v1.Content) -> str:
    """The text of content; images and other parts are left out."""
    if content.HasField("parts"):
        return "".join(part.text.text for part in content.parts.parts if part.HasField("text"))
    return content.text


def _final_texts(message: v1.Message) -> Iterator[tuple[Kind, str]]:
    match message.WhichOneof("kind"):
        case "assistant_message":
            yield "text", content_text(message.assistant_message.content)
        case "reasoning_message":
            yield "reasoning", message.reasoning_message.reasoning
        case "tool_call_message":
            for call in message.tool_call_message.tool_calls:
                yield "tool_arguments", call.arguments
        case "approval_request_message":
            for call in message.approval_request_message.tool_calls:
                yield "tool_arguments", call.arguments


def _rewrite(part: Part, text: str) -> Iterator[Change]:
    before, part.text = part.text, text
    if not text.startswith(before):
        yield Change(part, text, rewritten=True)
    elif len(text) > len(before):
        yield Change(part, text[len(before) :])
