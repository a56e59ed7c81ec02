"""How often tenants and keys do something, in this process."""

from __future__ import annotations

from sendoff_server.admission.book import Quotas
from sendoff_server.admission.bucket import Bucket
from sendoff_server.clock import Clock
from sendoff_server.errors import QuotaExceeded

_MANY = 10_000
"""Once so many buckets are there, those that are full are thrown away."""
_LONGEST_S = 60.0


class Rates:
    """A bucket for each whose accepts have a rate, for as long as it is not full."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}
        self._many = _MANY

    def take(self, subjects: tuple[tuple[str, Quotas], ...]) -> None:
        """One of each, or none if one of them is missing any: then raises QuotaExceeded, which tells how long it is."""
        now_s = self._clock.monotonic()
        buckets = []
        for subject, quotas in subjects:
            if quotas.accepts_per_s:
                bucket = self._bucket(subject, quotas, now_s)
                if missing_s := bucket.missing_s(now_s):
                    raise QuotaExceeded("accepts_per_s", subject, quotas.accepts_per_s, min(_LONGEST_S, missing_s))
                buckets.append(bucket)
        for bucket in buckets:
            bucket.take()

    def _bucket(self, subject: str, quotas: Quotas, now_s: float) -> Bucket:
        burst = quotas.accepts_burst or quotas.accepts_per_s
        bucket = self._buckets.get(subject)
        if bucket is None or not bucket.is_of(quotas.accepts_per_s, burst):
            self._forget_full(now_s)
            bucket = self._buckets[subject] = Bucket(quotas.accepts_per_s, burst, now_s)
        return bucket

    def _forget_full(self, now_s: float) -> None:
        if len(self._buckets) >= self._many:
            self._buckets = {name: each for name, each in self._buckets.items() if not each.is_full(now_s)}
            self._many = max(_MANY, 2 * len(self._buckets))
