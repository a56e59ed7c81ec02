"""What was found: broken promises, and what is worth counting."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from sendoff import v1

_MOST_TOLD = 2_000
"""Characters of one finding."""


def brief(run: v1.Run) -> str:
    """A run in a line."""
    status = v1.RunStatus.Name(run.status).removeprefix("RUN_STATUS_")
    phase = v1.RunPhase.Name(run.phase).removeprefix("RUN_PHASE_") if run.phase else ""
    reason = v1.StopReason.Name(run.stop_reason).removeprefix("STOP_REASON_") if run.stop_reason else ""
    named = (run.id, run.request_id, status, phase, reason, run.error.reason, run.error.message)
    return " ".join([*filter(None, named), f"(attempt {run.attempt}, {run.last_sequence} events)"])


class Findings:
    """Filled by everybody who looks."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._begun_s = time.monotonic()
        self.broken: dict[str, list[str]] = defaultdict(list)
        """By promise, what was seen that must not be."""
        self.counts: Counter[str] = Counter()

    def break_of(self, promise: str, told: str) -> None:
        self.broken[promise].append(told if len(told) <= _MOST_TOLD else f"{told[:_MOST_TOLD]}...")
        self.tell(f"BROKEN {promise}: {self.broken[promise][-1]}")

    def expect(self, promise: str, holds: bool, told: object) -> None:
        if not holds:
            self.break_of(promise, str(told))

    @contextmanager
    def holding(self, promise: str, about: object = "") -> Iterator[None]:
        """An assertion that fails inside the block is a broken promise."""
        try:
            yield
        except AssertionError as error:
            self.break_of(promise, f"{about} {error}".strip())

    def count(self, what: str, times: int = 1) -> None:
        self.counts[what] += times

    def tell(self, text: str) -> None:
        """On the way, for whoever looks on."""
        if self._shown:
            print(f"{time.monotonic() - self._begun_s:7.1f} s  {text}", flush=True)
