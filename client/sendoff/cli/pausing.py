"""A client that tells when it waits before it tries again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Unpack

from sendoff.client import Client
from sendoff.connection import ConnectionOptions
from sendoff.retry import RetryPolicy


class PausingClient(Client):
    """The blocking client, with somebody who is told of each pause."""

    def __init__(
        self, address: str | None, *, timeout_s: float, retry: RetryPolicy, **connection: Unpack[ConnectionOptions]
    ) -> None:
        self.on_pause: Callable[[float], None] | None = None
        """Called with the seconds before each pause that follows on a call or a stream that did not work."""
        super().__init__(address, timeout_s=timeout_s, retry=retry, sleep=self._pause, **connection)

    def _pause(self, seconds: float) -> None:
        if self.on_pause is not None and seconds > 0:
            self.on_pause(seconds)
        time.sleep(seconds)
