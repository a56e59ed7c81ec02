"""Orders for a process: JSON lines on stdin, `{"do": "accepts", ...}`, each answered with figures on stdout."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bench.processes import tell_ready

Scenario = Callable[..., Awaitable[dict[str, Any]]]


def obey(scenarios: Mapping[str, Scenario]) -> None:
    """Do what stdin says, one order after the other, until it ends. Adds `client_cpu_s`, what that took here."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_obey(scenarios))


async def _obey(scenarios: Mapping[str, Scenario]) -> None:
    tell_ready()
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        gc.collect()
        used_s = time.process_time()
        figures = await scenarios[order.pop("do")](**order)
        figures["client_cpu_s"] = time.process_time() - used_s
        print(json.dumps(figures), flush=True)
