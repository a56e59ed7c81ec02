"""Receives callbacks, and notes what they say as they come."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.findings import Findings
from tests.fixtures.receiver import Act, Delivered, Receiver, receiving

_FAILS = 0.15


@dataclass
class Hooks:
    """Fails now and then, at a first attempt."""

    receiver: Receiver
    chance: random.Random
    findings: Findings
    secret: str = ""
    """What has to sign; to be set before the first request."""
    told: dict[str, Any] = field(default_factory=dict)
    """By run, what was said of its end."""
    times: Counter[str] = field(default_factory=Counter)
    """How often it was told and taken."""
    ids: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By run, the ids of its deliveries."""

    def take(self, request: Delivered) -> Act:
        try:
            told = request.verified(self.secret)
        except Exception as error:
            self.findings.break_of("P9", f"a callback that does not verify, {error}: {request.headers}")
            return 200
        run_id = told["run_id"]
        if request.attempt == 1 and self.chance.random() < _FAILS:
            self.findings.count("callbacks that the receiver refused at first")
            return self.chance.choice((503, "reset"))
        before = self.told.setdefault(run_id, told)
        self.findings.expect("P9", before == told, f"{run_id} was told as {before} and as {told}")
        self.times[run_id] += 1
        self.ids[run_id].add(request.id)
        return 200


@asynccontextmanager
async def hooked(findings: Findings, seed: int) -> AsyncIterator[Hooks]:
    async with receiving() as receiver:
        hooks = Hooks(receiver, random.Random(seed), findings)
        receiver.choose = hooks.take
        yield hooks
