"""Pictures that callers named by their address, got for models whose own endpoint should not get them.

What was got is remembered, so that a conversation's pictures are not fetched again for each of its model calls; and
what could not be got is, too, so that a picture that is gone does not hold up each of them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog

from sendoff_server.clock import Clock
from sendoff_server.outgoing.port import Fetcher, NotFetched, Picture

MAX_BYTES = 64 * 1024 * 1024
"""Of all pictures that are remembered, whosoever's; those that were used longest ago are forgotten first."""
GONE_S = 300.0
"""For so long a picture that could not be had is not asked for again, where it is one of many."""
MOST_GONE = 1_000

_Key = tuple[str, str]
"""Tenant and URL: nobody learns from the time it takes what others have looked at."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Remembered:
    picture: Picture
    got_at: float


class RemotePictures:
    """Gets pictures by their URL. Opens what it needs for that at the first one."""

    def __init__(self, open_fetcher: Callable[[], Awaitable[Fetcher]], clock: Clock) -> None:
        self._open_fetcher = open_fetcher
        self._clock = clock
        self._opening = asyncio.Lock()
        self._fetcher: Fetcher | None = None
        self._remembered: OrderedDict[_Key, _Remembered] = OrderedDict()
        self._size = 0
        self._gone: dict[_Key, float] = {}

    @property
    def size(self) -> int:
        """Bytes that are remembered; at most MAX_BYTES."""
        return self._size

    async def get(self, tenant: str, url: str, *, max_age_s: float | None = None) -> Picture:
        """What is at the URL, or was when it was last asked for. Raises NotFetched.

        `max_age_s`: what was got longer ago is got anew, and what could not be had is tried at once. None: neither.
        """
        key = tenant, url
        known = self._remembered.get(key)
        if known is not None and (max_age_s is None or self._clock.monotonic() - known.got_at <= max_age_s):
            self._remembered.move_to_end(key)
            return known.picture
        if max_age_s is None and self._clock.monotonic() < self._gone.get(key, 0.0):
            raise NotFetched("it could not be had a short while ago", passing=True)
        return await self._fetched(key)

    async def aclose(self) -> None:
        """Let go of connections and of what is remembered."""
        self._remembered.clear()
        self._size = 0
        if self._fetcher is not None:
            await self._fetcher.close()

    async def _fetched(self, key: _Key) -> Picture:
        fetcher = await self._opened()
        try:
            picture = await fetcher.fetch(key[1])
        except NotFetched as error:
            log.warning("a picture can not be fetched", host=urlsplit(key[1]).hostname, reason=str(error))
            self._note_gone(key)
            raise
        self._gone.pop(key, None)
        self._remember(key, picture)
        return picture

    async def _opened(self) -> Fetcher:
        async with self._opening:
            if self._fetcher is None:
                self._fetcher = await self._open_fetcher()
            return self._fetcher

    def _remember(self, key: _Key, picture: Picture) -> None:
        self._forget(key)
        self._remembered[key] = _Remembered(picture, self._clock.monotonic())
        self._size += len(picture.data)
        while self._size > MAX_BYTES:
            self._forget(next(iter(self._remembered)))

    def _forget(self, key: _Key) -> None:
        known = self._remembered.pop(key, None)
        if known is not None:
            self._size -= len(known.picture.data)

    def _note_gone(self, key: _Key) -> None:
        self._gone.pop(key, None)
        self._gone[key] = self._clock.monotonic() + GONE_S
        if len(self._gone) > MOST_GONE:
            del self._gone[next(iter(self._gone))]
