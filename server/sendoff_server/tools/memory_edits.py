"""How memory tools change a block's value. Pure: a block and what is wanted in, the new value out.

What cannot be done is told in words that a model can act on.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from sendoff import v1
from sendoff_server.tools.memory_port import EditRefused

AT_THE_END = -1
"""In place of the number of a line."""

_MOST_LINES_TOLD = 10


def inserted(block: v1.Block, text: str, after_line: int) -> str:
    """The value with `text` as lines of its own behind that line; 0 is before the first, AT_THE_END behind the last.

    Raises EditRefused.
    """
    _check_writable(block)
    if not text:
        raise EditRefused("new_string is empty, so there is nothing to insert.")
    lines = block.value.removesuffix("\n").split("\n") if block.value else []
    if after_line != AT_THE_END and not 0 <= after_line <= len(lines):
        raise EditRefused(
            f"insert_line is {after_line}, and the block {block.label!r} has {_counted(len(lines), 'line')}. "
            f"Take 0 to {len(lines)}, or {AT_THE_END} for the end."
        )
    at = len(lines) if after_line == AT_THE_END else after_line
    last = "\n" if block.value.endswith("\n") else ""
    return _within_limit(block, "\n".join([*lines[:at], text.removesuffix("\n"), *lines[at:]]) + last)


def replaced(block: v1.Block, old: str, new: str) -> str:
    """The value with `new` in the place of the only `old`. Raises EditRefused."""
    _check_writable(block)
    if not old:
        raise EditRefused("old_string is empty. Give the text to replace, or use memory_insert to add some.")
    found = list(islice(_places(block.value, old), _MOST_LINES_TOLD + 1))
    if not found:
        raise EditRefused(_not_found(block, old))
    if len(found) > 1:
        lines = [str(block.value.count("\n", 0, place) + 1) for place in found[:_MOST_LINES_TOLD]]
        more = " and more" if len(found) > _MOST_LINES_TOLD else ""
        raise EditRefused(
            f"old_string stands more than once in the block {block.label!r}, in lines {', '.join(lines)}{more}. "
            "Nothing was changed. Give more of the text around the one that you mean."
        )
    start, end = found[0], found[0] + len(old)
    return _within_limit(block, block.value[:start] + new + block.value[end:])


def _places(value: str, text: str) -> Iterator[int]:
    """Where the text begins, also where two of them overlap."""
    place = value.find(text)
    while place >= 0:
        yield place
        place = value.find(text, place + 1)


def _not_found(block: v1.Block, old: str) -> str:
    told = f"old_string does not stand in the block {block.label!r} to the letter. Nothing was changed."
    if "&lt;" in old and old.replace("&lt;", "<") in block.value:
        told += " Where the block is shown with &lt; its text has <."
    elif old.casefold() in block.value.casefold():
        told += " It stands there with other upper and lower case."
    return told


def _check_writable(block: v1.Block) -> None:
    if block.read_only:
        raise EditRefused(f"The block {block.label!r} is read-only; memory tools cannot change it.")


def _within_limit(block: v1.Block, value: str) -> str:
    over = len(value) - block.limit
    if over > 0:
        raise EditRefused(
            f"The block {block.label!r} would have {len(value)} characters, and its limit is {block.limit}. "
            f"Nothing was changed. Say it with at least {_counted(over, 'character')} less, or shorten the block first."
        )
    return value


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
