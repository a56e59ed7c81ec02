"""The doorbell of those who look for deliveries."""

from __future__ import annotations

from sendoff_server.callbacks.doorbell import Doorbell
from tests.fixtures.clock import ManualClock


async def test_everyone_who_waits_hears_it_once() -> None:
    bell = Doorbell()
    first, second = bell.next_ring(), bell.next_ring()
    bell.ring()
    assert first.done()
    assert second.done()
    assert not bell.next_ring().done()


async def test_a_ring_that_comes_while_one_looks_is_not_missed() -> None:
    bell, clock = Doorbell(), ManualClock()
    heard = bell.next_ring()
    bell.ring()
    bell.ring()
    assert await clock.wait(heard, 60)


async def test_one_that_nobody_waits_for_is_not_kept() -> None:
    bell = Doorbell()
    bell.ring()
    assert not bell.next_ring().done()


async def test_others_can_ring_with_it_and_not_the_other_way_round() -> None:
    inner = Doorbell()
    outer = Doorbell(inner)
    here, there = outer.next_ring(), inner.next_ring()
    inner.ring()
    assert (here.done(), there.done()) == (False, True)
    there = inner.next_ring()
    outer.ring()
    assert (here.done(), there.done()) == (True, True)
