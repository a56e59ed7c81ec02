"""Lines out of a stream of bytes, none longer than a limit, in memory that does not grow with what is sent."""

from __future__ import annotations

from dataclasses import dataclass

_KEPT_BYTES = 256


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line beyond the limit: what it began with, and what it ended with."""

    head: bytes
    tail: bytes


class BoundedLines:
    """Cuts what it is fed at line feeds."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._line = bytearray()
        self._head: bytes | None = None
        """Of a line that has become too long; `_line` then holds its end only."""

    def feed(self, chunk: bytes) -> list[bytes | TooLong]:
        """The lines that this chunk ends, without their line feeds."""
        *ended, rest = chunk.split(b"\n")
        lines: list[bytes | TooLong] = []
        for piece in ended:
            self._grow(piece)
            lines.append(self._take())
        self._grow(rest)
        return lines

    def _grow(self, piece: bytes) -> None:
        self._line += piece
        if self._head is None and len(self._line) > self._max_bytes:
            self._head = bytes(self._line[:_KEPT_BYTES])
        if self._head is not None:
            del self._line[:-_KEPT_BYTES]

    def _take(self) -> bytes | TooLong:
        line, head = bytes(self._line), self._head
        self._line.clear()
        self._head = None
        return line if head is None else TooLong(head, line)
