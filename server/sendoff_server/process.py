"""One process: an event loop, and signals that end it."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

Main = Callable[[asyncio.Event], Coroutine[Any, Any, None]]
"""Runs until the event is set, and then for as long as it takes to stop well."""


class Failed(Exception):
    """What the process was started for did not work; the message is for people."""


def run(main: Main) -> None:
    """Run `main` to its end on a loop of its own, on uvloop where that is installed.

    The first SIGINT or SIGTERM sets the event, so that `main` drains; the second ends the process at once.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_until_signalled(main))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def settle_memory() -> None:
    """Once everything is loaded: take it out of the garbage collector's sight, and have that look less often. A run
    leaves no cycles, so collections find nothing and stop the loop for it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


async def _until_signalled(main: Main) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _on_signal, number, stop)
    await main(stop)


def _on_signal(number: int, stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(128 + number)
    stop.set()
