"""What `sendoff-server doctor` is told of a database. Nothing is changed to find it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    told: str
    mend: str
    is_fatal: bool = True
    """False: a server works, but not as well as it could."""


@dataclass(frozen=True, slots=True)
class Inspection:
    told: str
    """What it is, in a line."""
    faults: Sequence[Fault] = ()
    has_keys: bool = False
    """Whether a key for callers was ever made; from then on every call needs one."""
    clock_ahead_s: float | None = None
    """By how much its clock is ahead of this machine's. None: it has none of its own."""
