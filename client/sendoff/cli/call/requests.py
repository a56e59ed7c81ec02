"""Requests as the command line names them: JSON, @ and a file with JSON, or - for stdin."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message

_PLACE_OF_ERROR = "line {0.lineno}, column {0.colno}"


def only(kind: type[Message], sources: Sequence[str]) -> Message:
    """The one request that an RPC without a stream of them takes; an empty one if none is given."""
    found = list(each(kind, sources, as_they_come=False))
    if len(found) > 1:
        raise typer.BadParameter(f"this RPC takes one request, not {len(found)}")
    return found[0] if found else kind()


def each(kind: type[Message], sources: Sequence[str], *, as_they_come: bool) -> Iterator[Message]:
    """The requests, in order. A file holds any number, one after another; so does stdin, there one a line if they are
    to be sent as they come.

    Raises typer.BadParameter.
    """
    for source in sources:
        if source == "-" and as_they_come:
            for number, line in enumerate(sys.stdin, start=1):
                yield from _parsed(kind, line, f"stdin, request {number}")
        elif source == "-":
            yield from _parsed(kind, sys.stdin.read(), "stdin")
        elif source.startswith("@"):
            yield from _parsed(kind, _read(source[1:]), source[1:])
        else:
            yield from _parsed(kind, source, "the request")


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{path}: it is not text in UTF-8") from error
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from error


def _parsed(kind: type[Message], text: str, told_as: str) -> Iterator[Message]:
    """All JSON documents of a text."""
    decoder, at = json.JSONDecoder(), _skip_space(text, 0)
    while at < len(text):
        try:
            document, end = decoder.raw_decode(text, at)
            if not isinstance(document, dict):
                raise ParseError("expected an object")
            yield ParseDict(document, kind())
        except json.JSONDecodeError as error:
            raise typer.BadParameter(f"{told_as}: {error.msg}, {_PLACE_OF_ERROR.format(error)}") from error
        except (ParseError, RecursionError) as error:
            raise typer.BadParameter(f"{told_as}: it is no {kind.DESCRIPTOR.name}: {error}") from error
        at = _skip_space(text, end)


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at
