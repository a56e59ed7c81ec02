"""Statements by name from `queries.sql`, statements put together of parts, and rows turned into columns for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from sendoff_server.store.statements import read_statements


@cache
def _named() -> dict[str, str]:
    return read_statements(__name__.rpartition(".")[0])


@cache
def named(name: str, **texts: str) -> str:
    """The text of one statement of `queries.sql`, with each `:name` in it replaced."""
    statement = _named()[name]
    for word, text in texts.items():
        statement = re.sub(rf"(?<!:):{word}\b", text, statement)
    return statement


@cache
def together(names: tuple[str, ...], columns: tuple[int, ...]) -> str:
    """One statement that does what all of these do, which have so many parameters each: theirs in a row are its
    parameters. None of them sees what another one of them writes, but what it returns, as `part_` and its name."""
    parts, before = [], 0
    for name, count in zip(names, columns, strict=True):
        parts.append(f"part_{name} AS (\n{_with_parameters_behind(before, named(name))}\n)")
        before += count
    return f"WITH {', '.join(parts)} SELECT"


def _with_parameters_behind(before: int, statement: str) -> str:
    return re.sub(r"\$(\d+)", lambda number: f"${int(number[1]) + before}", statement)


def columns_of(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    """Rows as the columns that `unnest` takes. There is at least one row."""
    return [list(column) for column in zip(*rows, strict=True)]


@cache
def numbered(statement: str) -> str:
    """A statement with question marks as one with $1, $2, ..."""
    parts = statement.split("?")
    return "".join(f"{part}${number}" for number, part in enumerate(parts[:-1], 1)) + parts[-1]
