"""What a batch writes, and what becomes of each of its items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from sendoff import v1
from sendoff_server.store.batch import listed
from sendoff_server.store.batch.outbox import OutboxChanges
from sendoff_server.store.batch.snapshot import LaneRow, RunRow
from sendoff_server.store.items import Result
from sendoff_server.store.port import POSITION_SHIFT, Poisoned

PLACE_BITS = POSITION_SHIFT
PLACES = 1 << PLACE_BITS
"""Events, messages and steps of one run are numbered below this."""


@dataclass(frozen=True, slots=True)
class NeedsStored:
    """A result that tells a run as stored before this batch: `complete(run, request)` makes it."""

    run_no: int
    complete: Callable[[v1.Run, bytes], Result]


Outcome = Result | Poisoned | NeedsStored


@dataclass(slots=True)
class Changes:
    """What a batch writes."""

    lanes: dict[int, LaneRow] = field(default_factory=dict)
    runs: dict[int, RunRow] = field(default_factory=dict)
    """New ones, and those with a new state."""
    marked: dict[int, RunRow] = field(default_factory=dict)
    keys: list[tuple[str, str, str, int]] = field(default_factory=list)
    log: list[tuple[int, bytes]] = field(default_factory=list)
    messages: list[tuple[int, bytes]] = field(default_factory=list)
    listed: list[tuple[str, listed.Row]] = field(default_factory=list)
    """By tenant."""
    steps: dict[int, v1.Step] = field(default_factory=dict)
    left_out: list[tuple[int, int]] = field(default_factory=list)
    purges: list[tuple[int, int]] = field(default_factory=list)
    """Numbers of runs that have ended, and when they are to be purged."""
    actions: dict[int, LaneRow] = field(default_factory=dict)
    """Lanes whose newest actions changed."""
    freed: Counter[int] = field(default_factory=Counter)
    """By number of the agent, how many of its lanes that are at its cap may be looked at again."""
    acts: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """Entries of the audit, by tenant and id."""
    outbox: OutboxChanges = field(default_factory=OutboxChanges)
