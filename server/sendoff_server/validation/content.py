"""Rules of `Content` and its parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from typing import Any

from sendoff import v1
from sendoff_server.validation.json_object import check_json_object
from sendoff_server.validation.limits import MAX_IMAGE_BYTES, MAX_NAME_BYTES, MAX_PARTS, MAX_TEXT_BYTES
from sendoff_server.validation.rules import check_choice, check_items, check_size, check_url
from sendoff_server.validation.violations import Violations, quoted

TEXT_AND_IMAGES = frozenset({"text", "image"})
EVERY_PART = frozenset(field.name for field in v1.ContentPart.DESCRIPTOR.oneofs_by_name["part"].fields)

_SURELY_FITS = MAX_TEXT_BYTES // 4
"""So many characters never have more bytes than allowed."""
_URL_BYTES = 65_536
_URL_SCHEMES = ("http", "https", "data")
_DETAILS = ("low", "high", "auto")
_MEDIA_TYPE = re.compile(r"image/[a-z0-9.+-]+")


def check_content(found: Violations, path: str, content: v1.Content, allowed: Container[str]) -> None:
    """Check content whose parts may be of the kinds `allowed`."""
    form = content.WhichOneof("form")
    if form == "text":
        check_size(found, path + ".text", content.text, least=1, most=MAX_TEXT_BYTES)
    elif form == "parts":
        _check_parts(found, path + ".parts.parts", content.parts, allowed)
    else:
        found.add(path, "set text or parts")


def check_tool_call_id(found: Violations, path: str, value: str) -> None:
    """Check the id of a tool call, which is free text."""
    check_size(found, path, value, least=1, most=MAX_NAME_BYTES)


def check_image_bytes(found: Violations, path: str, data: bytes) -> None:
    """Check the bytes of a picture for their number; what they are is not looked at."""
    if not data:
        found.add(path, "must not be empty")
    elif len(data) > MAX_IMAGE_BYTES:
        found.add(path, f"must have at most {MAX_IMAGE_BYTES} bytes, has {len(data)}")


def check_media_type(found: Violations, path: str, media_type: str) -> None:
    if not _MEDIA_TYPE.fullmatch(media_type):
        found.add(path, f"must be an image type like image/png, is {quoted(media_type)}")


def _check_parts(found: Violations, path: str, content: v1.Content.Parts, allowed: Container[str]) -> None:
    parts = content.parts
    if not check_items(found, path, len(parts), least=1, most=MAX_PARTS):
        return
    for index, part in enumerate(parts):
        kind = part.WhichOneof("part")
        if kind == "text" and len(part.text.text) < _SURELY_FITS:
            continue  # the usual part, and every kind of message may have it
        place = f"{path}[{index}]"
        if kind is None:
            found.add(place, f"must be one of {', '.join(sorted(EVERY_PART))}")
        elif kind not in allowed:
            found.add(f"{place}.{kind}", "may stand in assistant messages only")
        elif rule := _PART_RULES.get(kind):
            rule(found, f"{place}.{kind}", getattr(part, kind))


def _check_text(found: Violations, path: str, part: v1.Text) -> None:
    check_size(found, path + ".text", part.text, most=MAX_TEXT_BYTES)


def _check_image(found: Violations, path: str, image: v1.Image) -> None:
    source = image.WhichOneof("source")
    if source == "url":
        check_url(found, path + ".url.url", image.url.url, _URL_SCHEMES, most=_URL_BYTES)
    elif source == "base64":
        _check_image_data(found, path + ".base64", image.base64)
    elif source == "letta":
        _check_stored_image(found, path + ".letta", image.letta)
    else:
        found.add(path, "set url, base64 or letta")


def _check_image_data(found: Violations, path: str, image: v1.Image.Base64) -> None:
    check_image_bytes(found, path + ".data", image.data)
    check_media_type(found, path + ".media_type", image.media_type)
    if image.HasField("detail"):
        check_choice(found, path + ".detail", image.detail, _DETAILS)


def _check_stored_image(found: Violations, path: str, image: v1.Image.Stored) -> None:
    if not image.file_id:
        found.add(path + ".file_id", "must not be empty")
    if image.HasField("detail"):
        check_choice(found, path + ".detail", image.detail, _DETAILS)


def _check_tool_call(found: Violations, path: str, call: v1.ToolCallPart) -> None:
    check_tool_call_id(found, path + ".id", call.id)
    check_size(found, path + ".name", call.name, least=1, most=MAX_NAME_BYTES)
    check_json_object(found, path + ".input", call.input)


def _check_tool_return(found: Violations, path: str, answer: v1.ToolReturnPart) -> None:
    check_tool_call_id(found, path + ".tool_call_id", answer.tool_call_id)
    check_size(found, path + ".content", answer.content, most=MAX_TEXT_BYTES)


_PART_RULES: dict[str, Callable[[Violations, str, Any], None]] = {
    "text": _check_text,
    "image": _check_image,
    "tool_call": _check_tool_call,
    "tool_return": _check_tool_return,
}
"""Kinds that have rules; reasoning has none."""
