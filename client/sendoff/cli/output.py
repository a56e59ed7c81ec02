"""Puts results on stdout and talk on stderr: for people on a terminal, for programs in a pipe, as JSON where asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TextIO, TypeVar

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console
from rich.table import Table
from rich.text import Text

_Shown = TypeVar("_Shown", bound=Message)

_ALLOWED_CONTROLS = "\n\t"
# What a model writes must not steer the terminal: no escape sequences, no carriage returns over what stands there.
_CONTROLS = {n: "\ufffd" for n in (*range(0x20), *range(0x7F, 0xA0)) if chr(n) not in _ALLOWED_CONTROLS}


def is_terminal() -> bool:
    """Whether a person sees both what is written and what is said, on a terminal that can move its cursor."""
    return sys.stdout.isatty() and sys.stderr.isatty() and not Console().is_dumb_terminal


def say(text: str) -> None:
    """A line on stdout, as it is."""
    sys.stdout.write(_harmless(text, sys.stdout) + "\n")


def write(text: str) -> None:
    """A piece of text on stdout, at once and without a line's end."""
    sys.stdout.write(_harmless(text, sys.stdout))
    sys.stdout.flush()


def note(text: str, end: str = "\n") -> None:
    """Talk on stderr; dim on a terminal."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(Text(_harmless(text, sys.stderr), style="dim"), end=end)


def complain(text: str) -> None:
    """What went wrong, in one line on stderr."""
    line = Text("error: ", style="bold red").append(one_line(text), style="not bold default")
    Console(stderr=True, soft_wrap=True, highlight=False).print(line)


def document(message: Message) -> None:
    """A message as JSON: indented on a terminal, one line in a pipe."""
    value(_as_json(message))


def value(told: object) -> None:
    """What JSON can hold: indented on a terminal, one line in a pipe."""
    say(json.dumps(told, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def line(message: Message) -> None:
    """A message as one line of JSON, at once."""
    write(json.dumps(_as_json(message), ensure_ascii=False) + "\n")


def fields(pairs: Iterable[tuple[str, str]]) -> None:
    """One thing, a line per field; fields without a value are left out."""
    told = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in told), default=0)
    for name, value in told:
        say(f"{name + ':':<{width + 1}} {value}")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Many things: a table on a terminal, and in a pipe lines of tab-separated values with a header."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            say("\t".join(one_line(cell) for cell in row))
        return
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        drawn.add_column(column, no_wrap=number == 0)
    for row in rows:
        drawn.add_row(*(Text(one_line(cell)) for cell in row))
    Console(highlight=False).print(drawn)


def listing(
    found: Iterable[_Shown],
    columns: Sequence[str],
    row: Callable[[_Shown], Sequence[str]],
    *,
    as_json: bool,
) -> None:
    """Many messages, as they come: JSON of one a line, or a row each."""
    if not as_json:
        table(columns, map(row, found))
        return
    for message in found:
        line(message)


def removed(id: str, *, as_json: bool) -> None:
    """That something is gone, for programs; people are told by the exit code."""
    if as_json:
        value({"deleted": id})


def one_line(text: str) -> str:
    """The text without line ends, tabs and control characters."""
    return " ".join(text.translate(_CONTROLS).split())


def harmless(text: str) -> str:
    """The text without what would steer a terminal."""
    return text.translate(_CONTROLS)


def _harmless(text: str, stream: TextIO) -> str:
    return harmless(text) if stream.isatty() else text


def _as_json(message: Message) -> object:
    return MessageToDict(message, preserving_proto_field_name=True)
