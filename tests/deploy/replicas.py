"""Servers of several on one database."""

from __future__ import annotations

import os
from pathlib import Path

from tests.fixtures.server import ServerProcess

ROUNDS = int(os.environ.get("DRAIN_ROUNDS", "1"))
"""How often each server of a test is replaced."""


class Replica(ServerProcess):
    """One of them. A stop gives notice for so long."""

    def __init__(self, folder: Path, dsn: str, *, notice_s: float, grace_s: float = 1.0) -> None:
        super().__init__(folder)
        self.http_address = "127.0.0.1:0"
        self._flags = ("--database-url", dsn, "--drain-notice-s", str(notice_s), "--drain-grace-s", str(grace_s))

    async def begin(self) -> None:
        await self.start(*self._flags)
