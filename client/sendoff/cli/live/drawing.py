"""How what an agent does is drawn on a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator

from rich.text import Text

from sendoff import v1
from sendoff.cli import output, wording
from sendoff.transcript import content_text

STYLES = {"text": "", "reasoning": "dim italic", "tool_arguments": "dim"}
"""Of the parts of an answer, by their kind."""

_LONGEST_CALL = 400
_MOST_LINES = 8
_LONGEST_LINE = 500


def tool_call(call: v1.ToolCall) -> Text:
    """The tool and its arguments."""
    drawn = Text("● ", style="cyan").append(output.harmless(call.name), style="bold")
    return drawn.append(shortened(f"({_arguments(call)})", _LONGEST_CALL), style="not bold default")


def tool_return(returned: v1.ToolReturn, name: str, duration_ns: int | None) -> Iterator[Text]:
    """What a tool gave, the beginning of it, and how long it took."""
    failed = returned.status == v1.TOOL_RETURN_STATUS_ERROR
    style = "red" if failed else "dim"
    lines = output.harmless(content_text(returned.tool_return)).splitlines() or ["(nothing)"]
    took = f"  ({wording.span(duration_ns)})" if duration_ns is not None else ""
    for number, line in enumerate(lines[:_MOST_LINES]):
        head = Text(f"  {'✗' if failed else '↳'} {name + ': ' if name else ''}" if number == 0 else "    ", style=style)
        yield head.append(shortened(line, _LONGEST_LINE)).append(took if number == 0 else "", style="dim")
    if len(lines) > _MOST_LINES:
        yield Text(f"    … {len(lines) - _MOST_LINES} more lines", style="dim")


def action(asked: v1.PendingAction) -> Text:
    """What is asked for from outside."""
    drawn = Text("? ", style="bold yellow").append(f"{wording.action_kind(asked.kind)}: ", style="yellow")
    drawn.append(output.harmless(asked.call.name), style="bold")
    until = wording.moment(asked.expire_time)
    return drawn.append(f", until {until}" if until else "", style="dim not bold")


def aside(told: str) -> Text:
    """Talk that is no answer."""
    return Text(output.harmless(told), style="dim")


def status(parts: list[str], width: int) -> Text:
    """Of these, as many as a line has room for, the first one in any case."""
    drawn = Text(no_wrap=True, overflow="ellipsis")
    for number, part in enumerate(parts):
        piece = f" · {part}" if number else part
        if number and len(drawn) + len(piece) > width:
            continue
        drawn.append(output.one_line(piece) if not number else piece, style="bold" if number == 0 else "dim")
    return drawn


def shortened(text: str, most: int) -> str:
    """At most so many characters of a text."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def _arguments(call: v1.ToolCall) -> str:
    """As Python would write them, which is shorter than JSON; JSON that cannot be read as it is."""
    try:
        told = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        return output.one_line(call.arguments)
    return ", ".join(f"{output.one_line(key)}={_value(value)}" for key, value in told.items())


def _value(value: object) -> str:
    return output.harmless(json.dumps(value, ensure_ascii=False))
