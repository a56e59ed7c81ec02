"""Ids: a prefix and a UUID of version 4.

New ids carry the time in their front 48 bits, so that rows made together lie together in an index. Derived ids are the
same whenever they are made from the same words, so that work repeated after a crash writes what it would have written.
"""

from __future__ import annotations

import hashlib
import os
import re
import time

_VERSION = 0x4 << 76
_VARIANT = 0x2 << 62
_FREE = ((1 << 128) - 1) ^ (0xF << 76) ^ (0x3 << 62)


def pattern(prefix: str) -> re.Pattern[str]:
    """What an id of that prefix matches as a whole (use `fullmatch`)."""
    return re.compile(prefix + "-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def _written(prefix: str, bits: int) -> str:
    h = f"{bits & _FREE | _VERSION | _VARIANT:032x}"
    return f"{prefix}-{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


class _Randomness:
    """Random bytes of the operating system, drawn many at a time: each draw lets other threads take the interpreter,
    and getting it back costs more than all else of making an id."""

    def __init__(self) -> None:
        self._pool = b""
        os.register_at_fork(after_in_child=self._empty)

    def _empty(self) -> None:
        """A fork must not draw what its parent draws."""
        self._pool = b""

    def take(self, count: int) -> bytes:
        if len(self._pool) < count:
            self._pool = os.urandom(_POOL_BYTES)
        taken, self._pool = self._pool[:count], self._pool[count:]
        return taken


_POOL_BYTES = 1_000
_randomness = _Randomness()


def new(prefix: str) -> str:
    """A new id, for example `run-0199c3f0-...`."""
    milliseconds = time.time_ns() // 1_000_000
    return _written(prefix, milliseconds << 80 | int.from_bytes(_randomness.take(10)))


def etag() -> str:
    """A new etag: different from all others, and nothing else."""
    return _randomness.take(8).hex()


def derive(prefix: str, *words: str | int) -> str:
    """The id that belongs to these words; equal words, equal id."""
    digest = hashlib.blake2b("\x1f".join(map(str, words)).encode(), digest_size=16).digest()
    return _written(prefix, int.from_bytes(digest))


def derive_beside(neighbour: str, prefix: str, *words: str | int) -> str:
    """The id that belongs to that id and these words, with that one's time in front: what is found by it in an index
    lies where its neighbours lie, and not just anywhere."""
    digest = hashlib.blake2b("\x1f".join((neighbour, *map(str, words))).encode(), digest_size=10).digest()
    milliseconds = int(neighbour.partition("-")[2].replace("-", "")[:12], 16)
    return _written(prefix, milliseconds << 80 | int.from_bytes(digest))


def otid(message_id: str, part_index: int) -> str:
    """The OTID of one entry of an output message: the message's UUID with its lowest 7 bits replaced by the part's
    index."""
    bits = int(message_id.partition("-")[2].replace("-", ""), 16)
    h = f"{bits >> 7 << 7 | part_index & 0x7F:032x}"
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def call_id(*words: str | int) -> str:
    """An id of a tool call that every model provider takes; equal words, equal id."""
    digest = hashlib.blake2b("\x1f".join(map(str, words)).encode(), digest_size=12)
    return f"call_{digest.hexdigest()}"
