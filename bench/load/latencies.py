"""What a list of durations tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed; 0 for no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def figures(durations_s: Sequence[float], seconds: float) -> dict[str, Any]:
    """Calls, the rate they make over so many seconds, and how long they took."""
    return {
        "calls": len(durations_s),
        "seconds": seconds,
        "p50_ms": percentile(durations_s, 0.50) * 1000,
        "p99_ms": percentile(durations_s, 0.99) * 1000,
    }
