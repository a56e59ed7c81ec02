"""When to repeat a call that did not work, and after how long. Decides only; who calls, sleeps."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from sendoff.errors import SendoffError


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """How often, and after how long."""

    max_attempts: int = 6
    """Most attempts in a row that may fail; 1: never repeat."""
    initial_backoff_s: float = 0.1
    """Longest pause after the first failure; it doubles with each further one.

    The pause is drawn between half of it and all.
    """
    max_backoff_s: float = 2.0
    """The doubling ends here."""


UNARY = RetryPolicy()
"""For one call: about three seconds, enough for a restart behind a load balancer."""

RECONNECT = RetryPolicy(max_attempts=24, max_backoff_s=5.0)
"""For a watch or a wait that has already worked: about a minute and a half, enough for a server to be replaced."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Where time and chance come from, for tests to replace."""

    monotonic: Callable[[], float] = time.monotonic
    """Seconds that never go back."""
    draw: Callable[[], float] = random.random
    """A number from 0 up to 1."""


def is_passing(error: SendoffError) -> bool:
    """Whether the same request may work if it is sent again.

    So it is when no server took it, and else when the server says so. CANCELLED without a reason is gRPC's own word,
    for calls that come as a server closes its port or has too many waiting; who cancels a call himself is told
    otherwise.
    """
    if error.code is grpc.StatusCode.UNAVAILABLE or (error.code is grpc.StatusCode.CANCELLED and not error.domain):
        return True
    told = error.retry_after_s is not None
    return told and error.code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.ABORTED)


class Backoff:
    """Counts failures in a row, and says how long to wait after each."""

    def __init__(self, policy: RetryPolicy, draw: Callable[[], float]) -> None:
        self.policy = policy
        self.failures = 0
        self._draw = draw

    def worked(self) -> None:
        """Begin to count anew."""
        self.failures = 0

    def pause_s(self, error: SendoffError) -> float:
        """Count a failure; how long to wait before the next attempt. Raises the error when there is to be none.

        Never sooner than the server asked for, and then up to a quarter later, so that callers that were sent away
        together do not return together.
        """
        self.failures += 1
        if self.failures >= self.policy.max_attempts:
            raise error
        longest = min(self.policy.max_backoff_s, self.policy.initial_backoff_s * 2.0 ** min(self.failures - 1, 30))
        jittered = longest * (1 + self._draw()) / 2
        asked = error.retry_after_s or 0.0
        return max(jittered, asked * (1 + self._draw() / 4))


class Attempts:
    """The attempts of one call, all within one deadline."""

    def __init__(self, timeout_s: float, policy: RetryPolicy, timing: Timing, *, repeatable: bool) -> None:
        self._backoff = Backoff(policy, timing.draw)
        self._monotonic = timing.monotonic
        self._deadline = timing.monotonic() + timeout_s
        self._repeatable = repeatable

    def remaining_s(self) -> float:
        """Seconds until the deadline; not below zero."""
        return max(0.0, self._deadline - self._monotonic())

    def pause_s(self, error: SendoffError) -> float:
        """How long to wait before the next attempt.

        Raises the error when it is not passing, or no time or attempt is left.
        """
        if not (self._repeatable and is_passing(error)):
            raise error
        pause = self._backoff.pause_s(error)
        if pause >= self.remaining_s():
            raise error
        return pause
