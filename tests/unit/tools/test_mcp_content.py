"""Results of MCP tools, as what a model is shown."""

from __future__ import annotations

import base64
from typing import Any

import mcp_types
from mcp_types import AudioContent, CallToolResult, EmbeddedResource, ImageContent, ResourceLink, TextContent

from sendoff import v1
from sendoff_server.tools.mcp.content import MAX_CHARS, MAX_PARTS, tool_result

PNG = base64.b64encode(b"png").decode()


def text(words: str) -> TextContent:
    return TextContent(type="text", text=words)


def image(data: str = PNG, mime_type: str = "image/png") -> ImageContent:
    return ImageContent(type="image", data=data, mime_type=mime_type)


def shown(*blocks: Any, **more: Any) -> v1.Content:
    return tool_result(CallToolResult(content=list(blocks), **more)).content


def test_texts_become_one_text() -> None:
    assert shown(text("one")) == v1.Content(text="one")
    assert shown(text("one"), text(""), text("two")) == v1.Content(text="one\ntwo")


def test_an_empty_result_is_told_to_be_empty() -> None:
    assert shown().text == "(nothing)"
    assert shown(text("")).text == "(nothing)"


def test_images_stay_images_between_texts() -> None:
    parts = shown(text("before"), image(), text("after")).parts.parts

    assert [part.WhichOneof("part") for part in parts] == ["text", "image", "text"]
    assert parts[1].image.base64 == v1.Image.Base64(data=b"png", media_type="image/png")


def test_what_cannot_be_looked_at_is_named() -> None:
    audio = AudioContent(type="audio", data=PNG, mime_type="audio/wav")
    link = ResourceLink(type="resource_link", name="log", uri="file:///log", description="All of it.")

    assert shown(audio).text == "[audio/wav, which cannot be shown]"
    assert shown(image("not base64!")).text == "[image/png, which is no image]"
    assert shown(image(mime_type="text/html")).text == "[text/html, which is no image]"
    assert shown(link).text == "[resource log: file:///log: All of it.]"


def test_embedded_resources_are_shown_by_their_kind() -> None:
    def embedded(resource: Any) -> EmbeddedResource:
        return EmbeddedResource(type="resource", resource=resource)

    words = mcp_types.TextResourceContents(uri="file:///a", text="words")
    picture = mcp_types.BlobResourceContents(uri="file:///b", blob=PNG, mime_type="image/png")
    bytes_ = mcp_types.BlobResourceContents(uri="file:///c", blob=PNG)

    assert shown(embedded(words)).text == "words"
    assert shown(embedded(picture)).parts.parts[0].image.base64.data == b"png"
    assert shown(embedded(bytes_)).text == "[file:///c: bytes, which cannot be shown]"


def test_structured_content_is_used_where_there_is_no_text_and_only_there() -> None:
    assert shown(structured_content={"ä": 1}).text == '{\n  "ä": 1\n}'
    assert shown(text("one"), structured_content={"a": 1}).text == "one"
    parts = shown(image(), structured_content={"a": 1}).parts.parts
    assert [part.WhichOneof("part") for part in parts] == ["text", "image"]


def test_an_error_is_one() -> None:
    result = tool_result(CallToolResult(content=[text("no")], is_error=True))

    assert result.is_error
    assert result.content.text == "no"


def test_text_is_cut_at_the_limit_over_all_parts_and_says_so() -> None:
    told = shown(text("a" * (MAX_CHARS - 1)), text("bcd"), text("e")).text

    assert told.endswith("\nb... [truncated 2 chars]")
    assert len(told) < MAX_CHARS + 100


def test_more_parts_than_a_message_may_have_are_left_out_with_a_note() -> None:
    parts = shown(*[image() for _ in range(MAX_PARTS + 10)], structured_content={"a": 1}).parts.parts

    assert len(parts) <= MAX_PARTS
    assert "[11 more parts, left out]" in shown(*[text("x") for _ in range(MAX_PARTS + 10)]).text


def test_half_of_a_surrogate_pair_does_not_break_the_message() -> None:
    assert shown(text("a\ud800b")).text == "a?b"
    assert shown(structured_content={"a": "\ud800"}).text == '{\n  "a": "?"\n}'
