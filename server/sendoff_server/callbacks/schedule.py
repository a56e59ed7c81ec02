"""When a delivery is tried again: pure rules.

2 s after the first attempt, then three times as long each time, up to 6 hours, until 72 hours after it was written:
about 20 attempts. Each pause is shorter or longer by up to a fifth, so that what failed together does not come back
together.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

from sendoff_server.clock import SECOND_NS

FIRST_PAUSE_S = 2.0
GROWTH = 3.0
LONGEST_PAUSE_S = 6 * 3_600.0
JITTER = 0.2
LONGEST_ASKED_S = 24 * 3_600.0
"""A receiver that asks for a longer pause gets this one."""
_GROWS_TIMES = 20
"""By then a pause is the longest."""


def is_delivered(status: int) -> bool:
    """Redirects are failures: where they lead to is not what the caller named."""
    return 200 <= status < 300


def is_final(status: int) -> bool:
    """Whether a receiver says that it wants no more of it: 410 Gone."""
    return status == 410


def pause_s(attempts: int, chance: float, retry_after_s: float = 0.0) -> float:
    """How long to wait after that many failed attempts. `chance` is from 0 to 1."""
    jittered_s = _grown_s(attempts) * (1 - JITTER + 2 * JITTER * chance)
    return max(jittered_s, min(retry_after_s, LONGEST_ASKED_S))


def span_s(attempts: int) -> float:
    """How long after the first attempt the last one of so many is, about."""
    growing = sum(_grown_s(each) for each in range(1, min(attempts, _GROWS_TIMES)))
    return growing + max(0, attempts - _GROWS_TIMES) * LONGEST_PAUSE_S


def _grown_s(attempts: int) -> float:
    return min(FIRST_PAUSE_S * GROWTH ** min(attempts - 1, _GROWS_TIMES), LONGEST_PAUSE_S)


def next_attempt_ns(now_ns: int, pause_s: float, last_ns: int) -> int | None:
    """When to try again; None if that would be after `last_ns`."""
    due_ns = now_ns + int(pause_s * SECOND_NS)
    return due_ns if due_ns <= last_ns else None


def retry_after_s(header: str, now_ns: int) -> float:
    """The header Retry-After in seconds from now; 0 for none, or for one that is not understood."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), LONGEST_ASKED_S)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    # A date that tells no zone is in UTC, as the header's rules have it.
    at_s = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return max(0.0, at_s - now_ns / SECOND_NS)
