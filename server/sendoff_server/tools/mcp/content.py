"""What an MCP tool gave, as content for the model."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Sequence

import mcp_types

from sendoff import v1
from sendoff_server.tools.port import ToolResult, text_result

MAX_CHARS = 1_000_000
"""Of all text together; the rest is cut off. No model is ever shown more."""
MAX_PARTS = 256

_IMAGE_TYPE = re.compile(r"image/[a-z0-9.+-]+")


def tool_result(told: mcp_types.CallToolResult) -> ToolResult:
    """Texts become one text where there is nothing else; images stay images; what a model cannot look at is named.

    The structured form is used where there is no text, because a server that gives both says the same twice.
    """
    parts = [_part(block) for block in told.content[:MAX_PARTS]]
    if len(told.content) > MAX_PARTS:
        parts[-1] = _text(f"[{len(told.content) - MAX_PARTS + 1} more parts, left out]")
    if told.structured_content is not None and not any(part.HasField("text") for part in parts):
        structured = json.dumps(told.structured_content, ensure_ascii=False, indent=2)
        parts = [_text(structured), *parts[: MAX_PARTS - 1]]
    parts = list(_cut(part for part in parts if part.HasField("image") or part.text.text))
    if any(part.HasField("image") for part in parts):
        return ToolResult(content=v1.Content(parts=v1.Content.Parts(parts=parts)), is_error=told.is_error)
    return text_result("\n".join(part.text.text for part in parts), is_error=told.is_error)


def _cut(parts: Iterable[v1.ContentPart]) -> Iterator[v1.ContentPart]:
    """The parts up to the text that crosses the limit, cut there; images behind it stay."""
    left = MAX_CHARS
    for part in parts:
        if part.HasField("image"):
            yield part
        elif left > 0:
            text = part.text.text
            yield part if len(text) <= left else _text(f"{text[:left]}... [truncated {len(text) - left} chars]")
            left -= len(text)


def _part(block: mcp_types.ContentBlock) -> v1.ContentPart:
    match block:
        case mcp_types.TextContent():
            return _text(block.text)
        case mcp_types.ImageContent():
            return _image(block.data, block.mime_type) or _text(f"[{block.mime_type}, which is no image]")
        case mcp_types.AudioContent():
            return _text(f"[{block.mime_type}, which cannot be shown]")
        case mcp_types.ResourceLink():
            return _text(_link(block))
        case mcp_types.EmbeddedResource():
            return _resource(block.resource)


def _resource(resource: mcp_types.TextResourceContents | mcp_types.BlobResourceContents) -> v1.ContentPart:
    if isinstance(resource, mcp_types.TextResourceContents):
        return _text(resource.text)
    told = f"[{resource.uri}: {resource.mime_type or 'bytes'}, which cannot be shown]"
    return _image(resource.blob, resource.mime_type or "") or _text(told)


def _link(link: mcp_types.ResourceLink) -> str:
    described: Sequence[str | None] = (link.title or link.name, link.uri, link.description)
    return f"[resource {': '.join(filter(None, described))}]"


def _text(text: str) -> v1.ContentPart:
    return v1.ContentPart(text=v1.Text(text=text.encode(errors="replace").decode()))


def _image(data: str, media_type: str) -> v1.ContentPart | None:
    """None: it is no image, or not in base64."""
    if not _IMAGE_TYPE.fullmatch(media_type):
        return None
    try:
        decoded = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None
    if not decoded:
        return None
    return v1.ContentPart(image=v1.Image(base64=v1.Image.Base64(data=decoded, media_type=media_type)))
