"""What a process of several holds on to: the pipes to the one that started it.

Down its standard input comes one line of JSON, its orders, and later perhaps the line `stop`; the end of the pipe says
that whoever started it is gone. Up its standard output goes the line `ready`.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import threading
from contextlib import suppress
from typing import Any

READY = b"ready\n"
STOP = b"stop\n"


def orders_of(process: int, settings: dict[str, Any]) -> bytes:
    """What goes down first: which of the processes it is, from 1, and all settings."""
    return json.dumps({"process": process, "settings": settings}).encode() + b"\n"


class Lifeline:
    """The lower end of the pipes. To be made once, before anything reads or prints."""

    def __init__(self) -> None:
        """Raises ValueError if there are no orders."""
        # Without buffers: their locks are in the way of a process that ends while the thread reads.
        self._down = io.FileIO(_taken(0, os.open(os.devnull, os.O_RDONLY)), "r")
        self._up = io.FileIO(_taken(1, os.dup(2)), "w")
        orders = json.loads(self._down.readline())
        self.process: int = orders["process"]
        self.settings: dict[str, Any] = orders["settings"]

    def hold(self, stop: asyncio.Event) -> None:
        """From now on `stop` is set when it is to stop, and when whoever started it is gone.

        If that one goes after it has told to stop, it has not waited for the drain, and the process ends at once.
        """
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._listen, args=(loop, stop), name="lifeline", daemon=True).start()

    def _listen(self, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        was_told = False
        with suppress(RuntimeError):  # the loop has ended by itself
            while self._down.readline():
                was_told = True
                loop.call_soon_threadsafe(stop.set)
            if was_told:
                os._exit(1)
            loop.call_soon_threadsafe(stop.set)

    def tell_ready(self) -> None:
        with suppress(BrokenPipeError):  # `hold` tells
            self._up.write(READY)


def _taken(descriptor: int, instead: int) -> int:
    """The pipe behind this descriptor, where no child gets it; in its place is another file."""
    pipe = os.dup(descriptor)
    os.dup2(instead, descriptor)
    os.close(instead)
    return pipe
