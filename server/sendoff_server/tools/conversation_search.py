"""Looks for words in the earlier messages of a conversation, newest first.

There is no index: pages are read and looked through, so a search is bounded, and says so where it ends early.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sendoff import v1
from sendoff_server.clock import SECOND_NS, nanoseconds
from sendoff_server.tools.arguments import ArgumentsRefused, choices, text, whole_number
from sendoff_server.tools.memory_port import Messages

NAME = "conversation_search"

MOST_MESSAGES = 5_000
MOST_BYTES = 32 * 1024 * 1024
"""What one search looks through at most."""
MOST_FOUND = 50
SHOWN_CHARACTERS = 1_000
"""Of one message."""

_PAGE = 200
_FOUND = 5
_MOST_WORDS = 32
_DATE_CHARACTERS = 10
_ROLES = ("user", "assistant", "tool", "system")
_HEAD = "Earlier messages of this conversation that match, newest first"

PROPERTIES: Mapping[str, Mapping[str, Any]] = {
    "query": {
        "type": "string",
        "description": "Words that must all stand in the message, in any order; upper and lower case are the same. "
        "Empty: every message matches.",
    },
    "roles": {
        "type": "array",
        "items": {"type": "string", "enum": list(_ROLES)},
        "description": "Only messages of these roles; tool is what tools were called with and returned. Unset: of all.",
    },
    "limit": {
        "type": "integer",
        "minimum": 1,
        "maximum": MOST_FOUND,
        "default": _FOUND,
        "description": "Most messages to give.",
    },
    "start_date": {
        "type": "string",
        "description": "Only messages from then on: a date as 2026-03-04, or a date and time as 2026-03-04T10:15:00Z.",
    },
    "end_date": {
        "type": "string",
        "description": "Only messages until then, that day or moment included. Written as start_date.",
    },
}
"""What models are told of the arguments, as JSON Schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for."""

    words: Sequence[str] = ()
    """Case-folded."""
    roles: frozenset[str] = frozenset(_ROLES)
    limit: int = _FOUND
    start_ns: int | None = None
    end_ns: int | None = None
    """The first moment that is too late."""


def read_wanted(arguments: Mapping[str, Any]) -> Wanted:
    """Raises ArgumentsRefused."""
    limit = whole_number(arguments, "limit", _FOUND)
    if not 1 <= limit <= MOST_FOUND:
        raise ArgumentsRefused(f"limit must be 1 to {MOST_FOUND}, is {limit}.")
    words = text(arguments, "query").casefold().split()
    if len(words) > _MOST_WORDS:
        raise ArgumentsRefused(f"query has {len(words)} words, take at most {_MOST_WORDS}.")
    return Wanted(
        words=words,
        roles=choices(arguments, "roles", _ROLES),
        limit=limit,
        start_ns=_moment(arguments, "start_date"),
        end_ns=_moment(arguments, "end_date", is_end=True),
    )


def _moment(arguments: Mapping[str, Any], name: str, *, is_end: bool = False) -> int | None:
    """Nanoseconds since 1970; of an end, the first one behind it."""
    if arguments.get(name) in (None, ""):
        return None
    written = text(arguments, name).strip()
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        told = f"{name} must be a date as 2026-03-04, or a date and time as 2026-03-04T10:15:00Z."
        raise ArgumentsRefused(told) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    span = moment - datetime.fromtimestamp(0, UTC)
    if is_end:
        span += _included(moment, has_time=len(written) > _DATE_CHARACTERS)
    return span // timedelta(microseconds=1) * 1_000


def _included(end: datetime, *, has_time: bool) -> timedelta:
    """How long the end that somebody wrote lasts."""
    if not has_time:
        return timedelta(days=1)
    return timedelta(microseconds=1) if end.microsecond else timedelta(seconds=1)


@dataclass(slots=True)
class _Looked:
    """How far a search has got."""

    found: list[v1.Message] = field(default_factory=list)
    messages: int = 0
    size: int = 0
    oldest: v1.Message | None = None
    is_over: bool = False
    """The conversation's beginning was reached."""


async def search(messages: Messages, tenant: str, lane: str, position: int, wanted: Wanted) -> str:
    """What is found before that position, as text for the model."""
    looked = _Looked()
    while len(looked.found) <= wanted.limit and looked.messages < MOST_MESSAGES and looked.size < MOST_BYTES:
        page = await messages.before(tenant, lane, position, _PAGE)
        if not page:
            looked.is_over = True
            break
        looked.found += await asyncio.to_thread(_matching, page, wanted)  # a page may be megabytes of text
        looked.messages += len(page)
        looked.size += sum(message.ByteSize() for message in page)
        looked.oldest = page[-1]
        position = page[-1].position
    return "\n\n".join(_told(looked, wanted))


# ---- what matches ----


def _matching(page: Sequence[v1.Message], wanted: Wanted) -> list[v1.Message]:
    return [message for message in page if _matches(message, wanted)]


def _matches(message: v1.Message, wanted: Wanted) -> bool:
    moment = nanoseconds(message.create_time)
    if wanted.start_ns is not None and moment < wanted.start_ns:
        return False
    if wanted.end_ns is not None and moment >= wanted.end_ns:
        return False
    role, said = _said(message)
    if role not in wanted.roles or not said:
        return False
    folded = said.casefold()
    return all(word in folded for word in wanted.words)


def _said(message: v1.Message) -> tuple[str, str]:
    """Role and text; no text of what nobody said: summaries, reasoning, and what this tool found before."""
    if message.HasField("context_start"):
        return "", ""
    match message.WhichOneof("kind"):
        case "user_message":
            return "user", _text(message.user_message.content)
        case "assistant_message":
            return "assistant", _text(message.assistant_message.content)
        case "system_message":
            return "system", message.system_message.content
        case "tool_call_message":
            return "tool", _calls(message.tool_call_message.tool_calls)
        case "approval_request_message":
            return "tool", _calls(message.approval_request_message.tool_calls)
        case "tool_return_message":
            returns = (_text(each.tool_return) for each in message.tool_return_message.tool_returns)
            return "tool", "\n".join(each for each in returns if not each.startswith(_HEAD))
        case _:
            return "", ""


def _calls(calls: Sequence[v1.ToolCall]) -> str:
    return "\n".join(f"{call.name}({call.arguments})" for call in calls if call.name != NAME)


def _text(content: v1.Content) -> str:
    if content.HasField("text"):
        return content.text
    return "\n".join(filter(None, map(_part, content.parts.parts)))


def _part(part: v1.ContentPart) -> str:
    match part.WhichOneof("part"):
        case "text":
            return part.text.text
        case "tool_call":
            return f"{part.tool_call.name}({part.tool_call.input.json})"
        case "tool_return":
            return part.tool_return.content
        case _:
            return ""


# ---- what is told ----


def _told(looked: _Looked, wanted: Wanted) -> Iterator[str]:
    shown = looked.found[: wanted.limit]
    yield f"{_HEAD}: {len(shown) or 'none'}"
    for message in shown:
        role, said = _said(message)
        yield f"[{_date(message)}] {role}, {message.id}:\n{_clipped(said, wanted.words)}"
    if len(looked.found) > wanted.limit:
        end = looked.found[wanted.limit].create_time.ToJsonString()
        yield f"There are more. To see older ones, search again with end_date {end}."
    elif not looked.is_over and looked.oldest is not None:
        yield (
            f"The newest {looked.messages} messages were looked through, back to {_date(looked.oldest)}. "
            "Older ones were not."
        )


def _date(message: v1.Message) -> str:
    moment = datetime.fromtimestamp(nanoseconds(message.create_time) // SECOND_NS, UTC)
    return moment.isoformat().replace("+00:00", "Z")


def _clipped(said: str, words: Sequence[str]) -> str:
    """The text, or as much of it around the first word found as is shown."""
    if len(said) <= SHOWN_CHARACTERS:
        return said
    places = (re.search(re.escape(word), said, re.IGNORECASE) for word in words)
    first = min((place.start() for place in places if place), default=0)
    start = max(0, min(first - SHOWN_CHARACTERS // 4, len(said) - SHOWN_CHARACTERS))
    end = start + SHOWN_CHARACTERS
    return ("… " if start else "") + said[start:end] + (" …" if end < len(said) else "")
