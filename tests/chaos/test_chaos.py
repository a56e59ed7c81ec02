"""A short run of the chaos test, on leases that are short too: every promise is kept."""

from __future__ import annotations

import os

from tests.chaos.drive import run
from tests.chaos.plan import Plan

_SEED = int(os.environ.get("SENDOFF_TEST_SEED", "7"))


async def test_replicas_keep_every_promise_whatever_breaks() -> None:
    plan = Plan(
        seed=_SEED,
        minutes=5 / 60,
        runs=40,
        conversations=8,
        senders=8,
        watchers=8,
        samplers=1,
        lease_s=2.5,
        pause_s=1.0,
        kinds=("kill", "freeze", "crash", "cut-callers", "cut-database"),
    )
    report = await run(plan)
    print(report.text)
    assert not report.broken
