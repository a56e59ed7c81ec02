"""Token buckets, and rates of tenants and keys made of them."""

from __future__ import annotations

import pytest

from sendoff_server.admission.book import Quotas
from sendoff_server.admission.bucket import Bucket
from sendoff_server.admission.rates import Rates
from sendoff_server.errors import QuotaExceeded
from tests.fixtures.clock import ManualClock

TENANT, KEY = "tenant:acme", "key:4f2a"


def test_a_bucket_gives_its_burst_at_once_and_then_its_rate() -> None:
    bucket = Bucket(2.0, 3.0, 0.0)
    for _ in range(3):
        assert bucket.missing_s(0.0) == 0
        bucket.take()
    assert bucket.missing_s(0.0) == pytest.approx(0.5)
    assert bucket.missing_s(0.4) == pytest.approx(0.1)
    assert bucket.missing_s(0.5) == 0


def test_a_bucket_holds_no_more_than_its_burst_however_long_it_was_quiet() -> None:
    bucket = Bucket(100.0, 2.0, 0.0)
    taken = 0
    while not bucket.missing_s(3_600.0):
        bucket.take()
        taken += 1
    assert taken == 2


def _taken(rates: Rates, *subjects: tuple[str, Quotas], wanted: int) -> int:
    """How many were had before one was refused."""
    for taken in range(wanted):
        try:
            rates.take(subjects)
        except QuotaExceeded:
            return taken
    return wanted


async def test_a_rate_lets_so_many_through_in_a_second_and_tells_when_to_come_back() -> None:
    clock = ManualClock()
    rates = Rates(clock)
    own = (TENANT, Quotas(accepts_per_s=10, accepts_burst=20))
    assert _taken(rates, own, wanted=100) == 20
    with pytest.raises(QuotaExceeded) as raised:
        rates.take((own,))
    assert (raised.value.quota, raised.value.subject) == ("accepts_per_s", TENANT)
    assert raised.value.retry_after_s == pytest.approx(0.1)
    await clock.advance(1.0)
    assert _taken(rates, own, wanted=100) == 10


async def test_who_is_refused_by_the_key_takes_nothing_from_the_tenant() -> None:
    rates = Rates(ManualClock())
    of_tenant, of_key = (TENANT, Quotas(accepts_per_s=5)), (KEY, Quotas(accepts_per_s=2))
    assert _taken(rates, of_tenant, of_key, wanted=10) == 2
    assert _taken(rates, of_tenant, wanted=10) == 3


async def test_a_rate_that_is_changed_counts_at_once() -> None:
    rates = Rates(ManualClock())
    assert _taken(rates, (TENANT, Quotas(accepts_per_s=1)), wanted=10) == 1
    assert _taken(rates, (TENANT, Quotas(accepts_per_s=4)), wanted=10) == 4


async def test_what_is_kept_of_those_who_are_quiet_is_bounded() -> None:
    clock = ManualClock()
    rates = Rates(clock)
    for number in range(30_000):
        rates.take(((f"tenant:{number}", Quotas(accepts_per_s=1_000)),))
        if not number % 1_000:
            await clock.advance(1.0)
    assert len(rates._buckets) <= 10_000
