"""Hints: what a replica lets the others know at once, so that they need not wait until they ask again.

A hint may come late, twice, or never, and may tell of what is known. Nothing but delay depends on it: what it is about
is either in the store, or text that its sender repeats when it is asked to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from sendoff import v1


@dataclass(frozen=True, slots=True)
class Wrote:
    """These runs are not as they were."""

    run_ids: Collection[str]


@dataclass(frozen=True, slots=True)
class Gone:
    """These agents, conversations or runs were deleted."""

    owner_ids: Collection[str]


@dataclass(frozen=True, slots=True)
class LanesWait:
    """There are lanes that the sender has no slot for, or soon will be: who has slots may claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watches:
    """Of which runs, executed elsewhere, the sender has watchers who want the text that is being written."""

    begin: Collection[str] = ()
    """It has none of the text, or not all; whoever executes such a run sends all there is."""
    still: Mapping[str, int] = field(default_factory=dict)
    """How many code points it has of what is being written."""
    over: Collection[str] = ()
    """Nobody wants it any more."""


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of a message that the sender is writing, for one replica."""

    to: str
    run_id: str
    sequence: int
    """Of the last event of the run's log at that time."""
    delta: v1.MessageDelta


@dataclass(frozen=True, slots=True)
class Missed:
    """Told by the store itself: whatever was sent up to now may not have come."""


Hint: TypeAlias = Wrote | Gone | LanesWait | Watches | Text | Missed
