"""The certificate in use, renewed when its files change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import structlog

from sendoff_server.clock import SECOND_NS, Clock
from sendoff_server.tls.material import BadCertificate, Files, Material, read

LOOK_S = 5.0
"""So often files are looked at; they are read as a whole, since some tools swap folders and keep all times."""
NEAR_END = timedelta(days=14)
"""So long before its end a certificate is complained about."""
_TELL_AGAIN = timedelta(days=1)

_log = structlog.get_logger(__name__)


class Certificates:
    """What is shown to callers whose connections begin now. Any thread may ask."""

    def __init__(self, files: Files, clock: Clock) -> None:
        """Raises BadCertificate."""
        self._files = files
        self._clock = clock
        self._current = read(files)
        self._fault = ""
        """Why the files of now are not in use; told once, not at each look."""
        self._told_of_end: datetime | None = None

    @property
    def current(self) -> Material:
        """What connections that begin now are shown."""
        return self._current

    @property
    def asks_callers(self) -> bool:
        """Whether callers have to show a certificate. Does not change while serving."""
        return self._files.client_authorities is not None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look after the files inside the block."""
        self._tell_in_use()
        self._tell_of_end()
        async with asyncio.TaskGroup() as looks:
            looking = looks.create_task(self._look_for_ever(), name="look after certificates")
            try:
                yield
            finally:
                looking.cancel()

    async def _look_for_ever(self) -> None:
        while True:
            await self._clock.sleep(LOOK_S)
            await self.look()
            self._tell_of_end()

    async def look(self) -> None:
        """Take what the files hold now, if it is good; else go on with what is in use, and say so."""
        try:
            found = await asyncio.to_thread(read, self._files)
            if found != self._current:
                self._check_time(found)
        except BadCertificate as error:
            if str(error) != self._fault:
                _log.error("new certificate cannot be used; the old one stays", fault=str(error))
            self._fault = str(error)
            return
        self._fault = ""
        if found != self._current:
            self._current = found
            self._told_of_end = None
            self._tell_in_use()

    def _check_time(self, found: Material) -> None:
        if found.expires <= self._now():
            raise BadCertificate(f"{self._files.certificate} has expired on {found.expires.isoformat()}")

    def _tell_in_use(self) -> None:
        _log.info(
            "certificate in use",
            names=self._current.names,
            expires=self._current.expires.isoformat(),
            callers_need_one=self.asks_callers,
        )

    def _tell_of_end(self) -> None:
        now = self._now()
        left = self._current.expires - now
        if left > NEAR_END or (self._told_of_end is not None and now - self._told_of_end < _TELL_AGAIN):
            return
        self._told_of_end = now
        expires = self._current.expires.isoformat()
        if left > timedelta():
            _log.warning("certificate expires soon", days_left=left.days, expires=expires)
        else:
            _log.error("certificate has expired; callers refuse it", expires=expires)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ns() / SECOND_NS, UTC)
