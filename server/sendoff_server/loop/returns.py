"""Returns of tool calls: made from what tools gave, cut to what a model can read, and errors of our own. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from sendoff import v1
from sendoff_server.body import Made
from sendoff_server.loop.arguments import BAD_ARGUMENTS
from sendoff_server.loop.rules import CONSTRAINT_ERROR, Became, Call
from sendoff_server.tools.port import ToolResult

DEFAULT_LIMIT = 50_000
"""Characters of a result."""
LEAST_LIMIT = 5_000
_OF_THE_WINDOW = 0.8  # characters for each token of the window
MAX_IMAGE_BYTES = 8 * 1024 * 1024
"""Of all images of a result."""
MAX_PRINTED = 10_000
"""Characters of what a tool printed."""

DENIED = "Error: request to call tool denied. User reason: "
_NOT_MADE = "Error: this call was not made: "


def limit(tool: v1.Tool, window_tokens: int) -> int:
    """How many characters of the tool's results are shown to a model with such a window."""
    return min(tool.return_char_limit or DEFAULT_LIMIT, max(LEAST_LIMIT, int(window_tokens * _OF_THE_WINDOW)))


def of_result(call_id: str, result: ToolResult, most: int) -> v1.ToolReturn:
    """What a tool gave, with at most so many characters of text."""
    return v1.ToolReturn(
        tool_call_id=call_id,
        status=v1.TOOL_RETURN_STATUS_ERROR if result.is_error else v1.TOOL_RETURN_STATUS_SUCCESS,
        tool_return=cut_content(result.content, most),
        stdout=_printed(result.stdout),
        stderr=_printed(result.stderr),
    )


def error(call_id: str, told: str) -> v1.ToolReturn:
    return v1.ToolReturn(tool_call_id=call_id, status=v1.TOOL_RETURN_STATUS_ERROR, tool_return=v1.Content(text=told))


def denied(call_id: str, reason: str | None) -> v1.ToolReturn:
    return error(call_id, f"{DENIED}{reason}")


def not_made(call_id: str, because: str) -> v1.ToolReturn:
    return error(call_id, f"{_NOT_MADE}{because}.")


def interrupted(call_id: str, because: str) -> v1.ToolReturn:
    return error(call_id, f"Error: this call was interrupted, and may have been carried out in part: {because}.")


def in_doubt(call_id: str, reason: str = "") -> v1.ToolReturn:
    told = "Error: the server was restarted during this call, and nobody knows whether it was carried out."
    return error(call_id, f"{told} User reason: {reason}" if reason else told)


def given(returned: v1.ToolReturn, most: int) -> v1.ToolReturn:
    """A result that came from outside, with at most so many characters of text."""
    cut = v1.ToolReturn()
    cut.CopyFrom(returned)
    cut.tool_return.CopyFrom(cut_content(returned.tool_return, most))
    return cut


def cut_content(content: v1.Content, most: int) -> v1.Content:
    if content.HasField("text"):
        return v1.Content(text=cut_text(content.text, most) or "(nothing)")
    parts: list[v1.ContentPart] = []
    left, bytes_left = most, MAX_IMAGE_BYTES
    for part in content.parts.parts:
        if part.HasField("text"):
            if left > 0:
                parts.append(v1.ContentPart(text=v1.Text(text=cut_text(part.text.text, left))))
            left -= len(part.text.text)
        else:
            bytes_left -= part.ByteSize()
            parts.append(part if bytes_left >= 0 else _LEFT_OUT)
    return v1.Content(parts=v1.Content.Parts(parts=parts)) if parts else v1.Content(text="(nothing)")


_LEFT_OUT = v1.ContentPart(text=v1.Text(text="[image left out: too large]"))


def cut_text(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}... [truncated {len(text) - most} chars]"


def _printed(lines: Sequence[str] | None) -> v1.OutputLines | None:
    if lines is None:
        return None
    kept: list[str] = []
    left = MAX_PRINTED
    for line in lines:
        if left <= 0:
            kept.append("... [truncated]")
            break
        kept.append(cut_text(line, left))
        left -= len(line) + 1
    return v1.OutputLines(lines=kept)


# ---- what rules make of them ----


def as_ruled(made: Iterable[Made], started: Container[str] = ()) -> list[Call]:
    """Calls as rules look at them. Those that were started ran; what became of others is told by how their returns
    begin."""
    return [
        Call(each.name, Became.RAN if each.call_id in started else _became(each.output), each.output) for each in made
    ]


def _became(output: str) -> Became:
    if output.startswith((CONSTRAINT_ERROR, BAD_ARGUMENTS)):
        return Became.REFUSED
    return Became.DENIED if output.startswith((DENIED, _NOT_MADE)) else Became.RAN
