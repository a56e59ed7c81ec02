"""A short run of the chaos test, on leases that are short too: every promise is kept."""

from __future__ import annotations

import os
import random

from tests.chaos.drive import run
from tests.chaos.plan import Plan

_SEED = os.environ.get("SENDOFF_TEST_SEED")


async def test_replicas_keep_every_promise_whatever_breaks() -> None:
    seed = int(_SEED) if _SEED else random.randrange(1 << 32)
    print(f"SENDOFF_TEST_SEED={seed}")
    plan = Plan(
        seed=seed,
        minutes=6 / 60,
        runs=50,
        conversations=12,
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
