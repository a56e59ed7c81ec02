"""Statements: the static ones by name from `queries.sql`, and multi-row ones made to measure.

A statement is prepared once per text, and preparing costs more than running it. So multi-row statements exist for
1, 2, 4, ... rows only; a batch in between is filled up with rows of NULL, which the statement drops.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain

from sendoff_server.store.statements import read_statements

MAX_ROWS = 256
"""Of one statement. 256 rows of 13 columns stay far below SQLite's limit of 32,766 variables."""


@cache
def _named() -> dict[str, str]:
    return read_statements(__name__.rpartition(".")[0])


@cache
def named(name: str, **texts: str) -> str:
    """The text of one statement of `queries.sql`, with each `:name` in it replaced."""
    statement = _named()[name]
    for word, text in texts.items():
        statement = statement.replace(f":{word}", text)
    return statement


@cache
def _filled(template: str, columns: int, rows: int) -> str:
    row = "(" + ", ".join("?" * columns) + ")"
    return template.replace(":rows", ", ".join([row] * rows))


def execute_rows(
    connection: sqlite3.Connection, name: str, rows: Sequence[Sequence[object]]
) -> list[tuple[object, ...]]:
    """Run a statement of `queries.sql` with its `:rows` replaced by these rows, and return what it returns.

    All rows have the same length, and their first column is never None.
    """
    template, found = named(name), []
    for start in range(0, len(rows), MAX_ROWS):
        chunk = rows[start : start + MAX_ROWS]
        columns, size = len(chunk[0]), 1 << (len(chunk) - 1).bit_length()
        values = list(chain.from_iterable(chunk))
        values += [None] * (columns * (size - len(chunk)))
        found += connection.execute(_filled(template, columns, size), values).fetchall()
    return found
