"""The quota of what is stored: what is new counts soon, what was deleted after a while, and neither costs much."""

from __future__ import annotations

import pytest

from sendoff_server.admission.stored_bytes import ANEW_S, BYTES_PER_MB, LOOK_S, StoredBytes
from sendoff_server.errors import QuotaExceeded
from sendoff_server.store.standing import Stored
from tests.fixtures.clock import ManualClock


class Shelf:
    """A store with messages of a MiB, each listed a nanosecond after the one before."""

    def __init__(self) -> None:
        self.messages: list[int] = []
        self.files = 0
        self.asked: list[int] = []

    async def stored(self, tenant: str, after_ns: int) -> Stored:
        self.asked.append(after_ns)
        found = [each for each in self.messages if each > after_ns]
        return Stored(len(found) * BYTES_PER_MB, self.files * BYTES_PER_MB, max(found, default=0))


async def test_only_what_came_since_is_counted_and_no_sooner_than_after_a_while() -> None:
    shelf, clock = Shelf(), ManualClock()
    stored = StoredBytes(shelf, clock)
    shelf.messages = [1, 2, 3]
    for _ in range(3):
        await stored.check("acme", 10)
    shelf.messages.append(4)
    shelf.files = 2
    await clock.advance(LOOK_S)
    assert await stored.used("acme", 10) == 6 * BYTES_PER_MB
    await clock.advance(LOOK_S)
    assert await stored.used("acme", 10) == 6 * BYTES_PER_MB
    assert shelf.asked == [0, 3, 4]


async def test_who_has_stored_too_much_is_refused_until_it_is_seen_that_some_was_deleted() -> None:
    shelf, clock = Shelf(), ManualClock()
    stored = StoredBytes(shelf, clock)
    shelf.messages = [1, 2]
    with pytest.raises(QuotaExceeded) as raised:
        await stored.check("acme", 2)
    assert (raised.value.quota, raised.value.subject, raised.value.retry_after_s) == ("stored_mb", "tenant:acme", 60)
    shelf.messages = [2]
    await clock.advance(LOOK_S)
    with pytest.raises(QuotaExceeded):
        await stored.check("acme", 2)
    await clock.advance(ANEW_S)
    await stored.check("acme", 2)
