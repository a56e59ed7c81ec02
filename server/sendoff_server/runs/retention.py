"""How long runs are kept once they have ended: as they ask, and no longer than the operator wants.

A run carries its time from its accept on, so that it goes when it was said to, whatever the setting is by then.
"""

from __future__ import annotations

from datetime import timedelta

from sendoff import v1
from sendoff_server.clock import SECOND_NS
from sendoff_server.errors import Unsupported, Violation


class Retention:
    """The rule of one server."""

    def __init__(self, most: timedelta | None) -> None:
        """`most`: of every run, and the time of those that say nothing. None: for ever."""
        self._most_ns = None if most is None else int(most.total_seconds()) * SECOND_NS

    def check(self, scheduling: v1.Scheduling) -> None:
        """Raises Unsupported."""
        if self._most_ns is not None and scheduling.retention.ToNanoseconds() > self._most_ns:
            told = f"this server keeps no run longer than {self._most_ns // SECOND_NS} s"
            raise Unsupported([Violation("scheduling.retention", told)])

    def give(self, run: v1.Run, scheduling: v1.Scheduling, continues: v1.Run | None = None) -> None:
        """Write down how long a new run is kept; one that continues another one as that one, if it asks for nothing."""
        asker: v1.Scheduling | v1.Run | None = scheduling if scheduling.HasField("retention") else continues
        limits = [] if self._most_ns is None else [self._most_ns]
        if asker is not None and asker.HasField("retention"):
            limits.append(asker.retention.ToNanoseconds())
        if limits:
            run.retention.FromNanoseconds(min(limits))
