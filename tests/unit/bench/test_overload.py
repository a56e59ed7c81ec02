"""Overload: a few seconds of it, and what would be found if it went wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.overload import LOUD, MEMORY_MB, QUIET, Outcome, faults, report

ROOT = Path(__file__).parents[3]
SECONDS = os.environ.get("SENDOFF_TEST_OVERLOAD_S", "2")
"""How long there is too much."""


def figures(**told: int) -> dict[str, Any]:
    times = {f"{what}_p{share}_ms": 1.0 for what in ("accepted", "refused", "ended") for share in (50, 95)}
    return {"told": told, "sent": sum(told.values()), "seconds": 1.0, **times}


GOOD = Outcome(
    capacity_per_s=10,
    unloaded=[figures(accepted=2)] * 2,
    loud=figures(accepted=10, **{"QUOTA_EXCEEDED/open_runs": 39, "OVERLOADED": 1}),
    quiet=[figures(accepted=2)] * 2,
    accepted={LOUD: 10, **dict.fromkeys(QUIET, 4)},
    statuses={LOUD: {"RUN_STATUS_COMPLETED": 10}, **{name: {"RUN_STATUS_COMPLETED": 4} for name in QUIET}},
    rest_mb=100,
    highest_mb=120,
)


def test_what_is_accepted_under_overload_ends_the_rest_is_refused_clearly_and_quiet_tenants_are_served(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "bench.overload", "--seconds", SECONDS, "--directory", str(tmp_path)]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=240 + 3 * float(SECONDS), check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "| Refused |" in ended.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_overload_as_it_should_be_has_no_faults_and_is_told() -> None:
    assert faults(GOOD) == []
    told = report(GOOD)
    assert "| Refused | 1 OVERLOADED, 39 QUOTA_EXCEEDED/open_runs |" in told
    assert "5.0 times that" in told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"loud": figures(accepted=10, CANCELLED=1)}, "refused without a clear reason: CANCELLED"),
        ({"loud": figures(accepted=10, **{"OVERLOADED*": 1})}, "refused without a clear reason: OVERLOADED*"),
        ({"loud": figures(accepted=10)}, "nothing was refused"),
        ({"quiet": [figures(accepted=1, OVERLOADED=1)] * 2}, "a quiet tenant was refused"),
        ({"quiet": [figures(accepted=1, **{"WaitRun: CANCELLED*": 1})] * 2}, "a quiet tenant was refused"),
        ({"accepted": {LOUD: 11, **dict.fromkeys(QUIET, 4)}}, "loud had 11 runs accepted"),
        ({"statuses": {LOUD: {"RUN_STATUS_COMPLETED": 9, "RUN_STATUS_FAILED": 1}}}, "loud had 10 runs accepted"),
        ({"highest_mb": MEMORY_MB + 1}, "MiB were used"),
    ],
)
def test_what_is_not_as_it_should_be_is_found(changes: dict[str, Any], told: str) -> None:
    assert any(told in fault for fault in faults(replace(GOOD, **changes)))
