"""Whom lanes share slots as, and in which order shares are served.

Claims go around the shares like the hand of a clock: one lane of each in turn, from behind the last one that was
served. A share is a number, so that what callers call it is nobody's business here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TypeVar

T = TypeVar("T")

BEFORE_ALL = -1
"""In front of every share."""

DUE_AT_ONCE = 1_000
"""So many lanes at most join those that wait with one claim, because their time has come."""


def depth_of(room: int, shares: Sequence[int]) -> int:
    """How many lanes of each to look at, so that the room is filled if all have so many."""
    return -(-room // len(shares))


def in_turn(waiting: Iterable[Sequence[T]]) -> list[T]:
    """The first of each, then the second of each, and so on."""
    return [each for turn in zip_longest(*waiting) for each in turn if each is not None]
