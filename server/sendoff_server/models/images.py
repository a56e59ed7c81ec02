"""From our images to the model library's."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from pydantic_ai.messages import BinaryContent, ImageUrl

from sendoff import v1
from sendoff_server.models.failures import failed


def image(told: v1.Image) -> ImageUrl | BinaryContent:
    """Raises ModelFailed (MODEL_REJECTED_REQUEST) for one that cannot be sent."""
    match told.WhichOneof("source"):
        case "url" if told.url.url[:5].lower() == "data:":
            return _data_url(told.url.url)
        case "url":
            return ImageUrl(told.url.url)
        case "base64":
            return _bytes(told.base64.data, told.base64.media_type, told.base64)
        case "letta" if told.letta.data and told.letta.media_type:
            return _bytes(told.letta.data, told.letta.media_type, told.letta)
        case _:
            raise failed("MODEL_REJECTED_REQUEST", "a stored image cannot be sent to a model without its content")


def images_in(content: v1.Content) -> Iterator[ImageUrl | BinaryContent]:
    """Raises ModelFailed (MODEL_REJECTED_REQUEST) for one that cannot be sent."""
    return (image(part.image) for part in content.parts.parts if part.HasField("image"))


def _bytes(data: bytes, media_type: str, source: v1.Image.Base64 | v1.Image.Stored) -> BinaryContent:
    detail = {"detail": source.detail} if source.HasField("detail") else None
    return BinaryContent(data, media_type=media_type, vendor_metadata=detail)


def _data_url(url: str) -> BinaryContent:
    """The content of a data URL (RFC 2397). Raises ModelFailed for one that is broken."""
    head, comma, data = url[5:].partition(",")
    media_type, *parameters = head.split(";")
    try:
        content = base64.b64decode(unquote_to_bytes(data)) if "base64" in parameters else unquote_to_bytes(data)
    except binascii.Error:
        content = b""
    if not comma or not content or not media_type.startswith("image/"):
        raise failed("MODEL_REJECTED_REQUEST", "an image's data URL cannot be read; give data:image/TYPE;base64,DATA")
    return BinaryContent(content, media_type=media_type)
