"""As memory runs out watchers go first, then new runs; and nothing flaps at the brink."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sendoff_server.admission import memory
from sendoff_server.admission.memory_guard import LOOK_S, MemoryGuard, Pressure, pressure_at
from tests.fixtures.clock import ManualClock


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([0.5, 0.84], Pressure.NONE),
        ([0.85], Pressure.NO_WATCHERS),
        ([0.95], Pressure.NO_ACCEPTS),
        ([0.86, 0.76], Pressure.NO_WATCHERS),
        ([0.86, 0.74], Pressure.NONE),
        ([0.96, 0.89], Pressure.NO_ACCEPTS),
        ([0.96, 0.87], Pressure.NO_WATCHERS),
        ([0.96, 0.80], Pressure.NO_WATCHERS),
        ([0.96, 0.5], Pressure.NONE),
        ([0.80, 0.86, 0.80, 0.86], Pressure.NO_WATCHERS),
    ],
)
def test_pressure_rises_at_once_and_falls_only_well_below(shares: list[float], expected: Pressure) -> None:
    pressure = Pressure.NONE
    for share in shares:
        pressure = pressure_at(share, pressure)
    assert pressure is expected


async def test_watchers_are_sent_away_for_as_long_as_there_is_pressure_and_each_change_is_logged_once() -> None:
    clock, used, shed = ManualClock(), 10, list[int]()
    guard = MemoryGuard(100, lambda: used, clock)
    with capture_logs() as logged:
        async with guard.running(lambda: shed.append(used)):
            await clock.advance(LOOK_S)
            assert not shed
            for used in (90, 90, 97, 80, 10, 10):  # noqa: B007  # the guard reads it
                await clock.advance(LOOK_S)
    assert shed == [90, 90, 97, 80]
    assert guard.pressure is Pressure.NONE
    assert [(line["pressure"], line["log_level"]) for line in logged] == [
        ("NO_WATCHERS", "warning"),
        ("NO_ACCEPTS", "warning"),
        ("NO_WATCHERS", "info"),
        ("NONE", "info"),
    ]


async def test_without_a_limit_there_is_no_pressure_and_that_is_logged() -> None:
    guard = MemoryGuard(None, lambda: 1 << 60, ManualClock())
    with capture_logs() as logged:
        async with guard.running(lambda: None):
            guard.look()
    assert guard.pressure is Pressure.NONE
    assert len(logged) == 1


def test_what_this_process_uses_is_told_in_bytes() -> None:
    used = memory.used_bytes()
    assert used is not None
    assert 1 << 20 < used < 1 << 40


def test_a_limit_that_is_set_is_of_each_process_and_one_that_is_found_is_shared() -> None:
    assert memory.limit_bytes(100, processes=4) == 100 * 1024 * 1024
    alone, shared = memory.limit_bytes(0, processes=1), memory.limit_bytes(0, processes=2)
    assert alone is not None
    assert shared == pytest.approx(alone / 2, abs=1)


def test_the_least_limit_of_the_control_groups_around_counts(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/pod/container\n")
    (tmp_path / "groups/pod/container").mkdir(parents=True)
    (tmp_path / "groups/memory.max").write_text("max\n")
    (tmp_path / "groups/pod/memory.max").write_text("5000\n")
    (tmp_path / "groups/pod/container/memory.max").write_text("9000\n")
    assert memory._of_container(tmp_path / "groups", own) == 5_000


def test_control_groups_of_the_first_version_are_understood_and_none_is_no_limit(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("4:memory:/box\n3:cpu:/box\n")
    (tmp_path / "groups/memory/box").mkdir(parents=True)
    assert memory._of_container(tmp_path / "groups", own) is None
    (tmp_path / "groups/memory/box/memory.limit_in_bytes").write_text("7000\n")
    assert memory._of_container(tmp_path / "groups", own) == 7_000
    assert memory._of_container(tmp_path / "groups", tmp_path / "nothing") is None
