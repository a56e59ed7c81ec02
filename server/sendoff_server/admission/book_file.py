"""The book of quotas as it stands in its file, which is read again when it has changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from sendoff_server.admission.book import BadQuotas, Book, Quotas, read
from sendoff_server.clock import Clock

LOOK_S = 2.0
"""How often it is looked whether the file has changed."""

_log = structlog.get_logger(__name__)


class BookFile:
    """What counts now. A change that cannot be used changes nothing, and is logged."""

    def __init__(self, path: Path | None, default: Quotas, clock: Clock) -> None:
        """Without a path all have the default. Raises BadQuotas."""
        self._path = path
        self._default = default
        self._clock = clock
        self._mark = _mark(path)
        self._book = Book(default) if path is None else read(path, default)

    def of_tenant(self, tenant: str) -> Quotas:
        return self._book.of_tenant(tenant)

    def of_key(self, key_id: str) -> Quotas:
        return self._book.of_key(key_id)

    def runs_under_way(self, tenant: str) -> int:
        return self._book.of_tenant(tenant).runs_under_way

    def limits_runs_under_way(self) -> bool:
        """Whether there is a tenant that may not have as many as there are slots."""
        return self._book.limits_runs_under_way

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Inside the block changes are noticed."""
        if self._path is None:
            yield
            return
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._look_forever(), name="read quotas")
            try:
                yield
            finally:
                looking.cancel()

    async def _look_forever(self) -> None:
        while True:
            await self._clock.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        """Read the file if it has changed. It is small, and so is what it takes to look."""
        if self._path is None or (mark := _mark(self._path)) == self._mark:
            return
        self._mark = mark
        try:
            self._book = read(self._path, self._default)
        except BadQuotas as error:
            _log.error("quotas stay as they are: their file cannot be used", error=str(error))
        else:
            _log.info("quotas were read again", tenants=len(self._book.tenants), keys=len(self._book.keys))


def _mark(path: Path | None) -> object:
    """Another one whenever the file is another; also where a link was turned to another file."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return None if found is None else (found.st_ino, found.st_mtime_ns, found.st_size)
