"""The certificate in use follows its files, unless they are bad, and its end is told in time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, MutableMapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from sendoff_server.clock import SystemClock
from sendoff_server.tls.certificates import LOOK_S, Certificates
from tests.fixtures.certificates import HERE, Authority, Pair, write
from tests.fixtures.clock import ManualClock

AUTHORITY = Authority()
PAIR, NEWER = AUTHORITY.issue(*HERE), AUTHORITY.issue(*HERE)
PATIENCE_S = 10.0

Lines = list[MutableMapping[str, Any]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(SystemClock().now_ns())


def told(lines: Lines, event: str) -> Lines:
    return [line for line in lines if line["event"].startswith(event)]


async def test_new_files_are_used_soon_after_they_were_written(
    tmp_path: Path, clock: ManualClock, lines: Lines
) -> None:
    certificates = Certificates(write(tmp_path, PAIR), clock)
    async with certificates.running(), asyncio.timeout(PATIENCE_S):
        await clock.advance(0)
        write(tmp_path, NEWER)
        await clock.advance(LOOK_S)
        while certificates.current.certificate != NEWER.certificate:  # noqa: ASYNC110  # read by a thread
            await asyncio.sleep(0.001)

    assert len(told(lines, "certificate in use")) == 2


@pytest.mark.parametrize(
    "bad",
    [
        Pair(NEWER.certificate, PAIR.key),
        Pair(b"", b""),
        AUTHORITY.issue(*HERE, lasts=timedelta(minutes=-1)),
    ],
    ids=["another's key", "empty", "expired"],
)
async def test_bad_new_files_leave_the_old_in_use_and_are_told_once(
    bad: Pair, tmp_path: Path, clock: ManualClock, lines: Lines
) -> None:
    certificates = Certificates(write(tmp_path, PAIR), clock)
    write(tmp_path, bad)
    await certificates.look()
    await certificates.look()

    assert certificates.current.certificate == PAIR.certificate
    assert [line["log_level"] for line in told(lines, "new certificate cannot be used")] == ["error"]

    write(tmp_path, NEWER)
    await certificates.look()
    assert certificates.current.certificate == NEWER.certificate


async def test_an_end_that_is_near_is_told_once_a_day_and_louder_once_it_is_there(
    tmp_path: Path, clock: ManualClock, lines: Lines
) -> None:
    certificates = Certificates(write(tmp_path, AUTHORITY.issue(*HERE, lasts=timedelta(hours=36))), clock)
    async with certificates.running(), asyncio.timeout(PATIENCE_S):
        await clock.advance(0)
        for hours in (1, 23, 1, 23):
            await clock.advance(hours * 3_600)
            while not clock.sleepers:  # noqa: ASYNC110  # a thread reads the files in between
                await asyncio.sleep(0.001)

    assert [line["days_left"] for line in told(lines, "certificate expires soon")] == [1, 0]
    assert len(told(lines, "certificate has expired")) == 1


async def test_an_end_that_is_far_is_not_told(tmp_path: Path, clock: ManualClock, lines: Lines) -> None:
    async with Certificates(write(tmp_path, PAIR), clock).running():
        await clock.advance(0)

    assert [line["log_level"] for line in lines] == ["info"]
