"""Calls of functions in threads that nobody has to wait for."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


def start(call: Callable[[], Any]) -> Future[Any]:
    """Call it in a thread of its own, with the caller's context variables.

    The thread is a daemon: a call that hangs keeps neither its caller nor the end of the program waiting.
    """
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()  # from now on nobody can cancel it, so that the thread may tell its end
    context = contextvars.copy_context()

    def run() -> None:
        try:
            future.set_result(context.run(call))
        except BaseException as error:  # whoever waits raises it
            future.set_exception(error)

    threading.Thread(target=run, name="sendoff tool", daemon=True).start()
    return future
