"""Room that is shared: nobody fills it, and whoever comes with little finds some."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from sendoff_server.admission.room import Room
from sendoff_server.errors import Overloaded


def _fill(room: Room, tenant: str, stack: ExitStack) -> int:
    """How many places it gets."""
    for taken in range(1_000):
        try:
            stack.enter_context(room.place(tenant))
        except Overloaded:
            return taken
    raise AssertionError("there is no end of it")


def test_one_tenant_has_half_of_the_room_and_others_find_some() -> None:
    room = Room(100, "busy")
    with ExitStack() as stack:
        assert _fill(room, "loud", stack) == 50
        assert _fill(room, "second", stack) == 25
        stack.enter_context(room.place("quiet"))
    assert room.free == 100


def test_a_place_is_free_again_however_its_use_ended() -> None:
    room = Room(2, "busy")
    with pytest.raises(ZeroDivisionError), room.place("acme"):
        raise ZeroDivisionError
    with room.place("acme"), pytest.raises(Overloaded, match="busy") as raised, room.place("acme"):
        pass
    assert raised.value.retry_after_s == 1.0
    assert room.free == 2
