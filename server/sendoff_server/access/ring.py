"""The keys that count, in the memory of one process.

All of them, so that neither a known nor an unknown key costs a question to the store; which keys have changed is asked
at most once a second, while there are calls. What was revoked lets nobody in two seconds later, on every server:
what is known is never used for longer, so that without a store nobody is let in either.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass

import structlog

from sendoff_server.access.principal import Principal, Role
from sendoff_server.clock import Clock
from sendoff_server.store.api_keys import ApiKey, ApiKeyReads
from sendoff_server.store.port import Fenced, StoreFailed

FRESH_S = 1.0
"""So long nobody asks whether keys have changed."""
LIFE_S = 2.0
"""No older may be what is known of keys."""
BETWEEN_LOOKS_S = 0.1
"""At least so long after a look a key that is not known is looked for: it may be new."""
_ALL_AGAIN_S = 60.0
"""After so long all keys are read again, however little has changed: a database that was put back, or whose standby
took over, may count its changes anew."""
_NOTE_EVERY_S = 60.0
_BITE = 500

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key that counts, until it expires."""

    principal: Principal
    secret_hash: bytes | None
    certificate: str | None
    expires_ns: int | None


class KeyRing:
    """What the store has of keys, no older than LIFE_S."""

    def __init__(self, store: ApiKeyReads, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._by_id: dict[str, HeldKey] = {}
        self._by_hash: dict[bytes, HeldKey] = {}
        self._by_certificate: dict[str, HeldKey] = {}
        self._last = 0
        self._known_s = -float("inf")
        self._all_known_s = -float("inf")
        self._looking: asyncio.Task[None] | None = None
        self._used: dict[str, int] = {}
        self._was_used = asyncio.Event()

    @property
    def has_keys(self) -> bool:
        """Whether there was ever a key, as far as it is known."""
        return self._last > 0

    async def look(self) -> None:
        """Make sure that what is known is no older than LIFE_S. Raises StoreFailed, Fenced."""
        if self._age_s() >= FRESH_S and self._under_way() is None:
            self._begin()
        for _ in range(2):  # a look that was under way when the caller came may be too old when it is done
            if self._age_s() < LIFE_S:
                return
            await asyncio.shield(self._under_way() or self._begin())
        if self._age_s() >= LIFE_S:
            raise StoreFailed("it takes the store too long to tell which keys count")

    async def look_behind(self) -> None:
        """Know of every key that was made before now. Whoever else asks meanwhile shares the look, and one follows the
        other after a while, whatever is asked. Raises StoreFailed, Fenced."""
        now_s = self._clock.monotonic()
        while self._known_s < now_s:
            if (looking := self._under_way()) is not None:
                await asyncio.shield(looking)
            elif (age_s := self._age_s()) < BETWEEN_LOOKS_S:
                await self._clock.sleep(BETWEEN_LOOKS_S - age_s)
            else:
                await asyncio.shield(self._begin())

    def by_id(self, key_id: str) -> HeldKey | None:
        return self._by_id.get(key_id)

    def by_hash(self, secret_hash: bytes) -> HeldKey | None:
        return self._by_hash.get(secret_hash)

    def by_certificate(self, name: str) -> HeldKey | None:
        return self._by_certificate.get(name)

    def note_use(self, held: HeldKey) -> None:
        """It will be written, with those of a minute."""
        if not self._used:
            self._was_used.set()
        self._used[held.principal.key_id] = self._clock.now_ns()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Inside the block the store is told which keys are used. Raises StoreFailed, Fenced where the keys cannot be
        read at the beginning."""
        await self.look()
        try:
            async with asyncio.TaskGroup() as group:
                noting = group.create_task(self._note_now_and_then(), name="note the use of keys")
                yield
                noting.cancel()
        finally:
            if self._looking is not None:
                self._looking.cancel()
            await self._note()

    # -- reading --

    def _age_s(self) -> float:
        return self._clock.monotonic() - self._known_s

    def _under_way(self) -> asyncio.Task[None] | None:
        """The look that goes on. One that is done and has not told so yet is none: who waited for it would not wait,
        and ask for ever without letting it tell."""
        return None if self._looking is None or self._looking.done() else self._looking

    def _begin(self) -> asyncio.Task[None]:
        """In a context of its own: what is logged is not of the call that happens to need it."""
        looking = asyncio.create_task(self._read(), name="look at the keys", context=Context())
        looking.add_done_callback(self._looked)
        self._looking = looking
        return looking

    def _looked(self, looking: asyncio.Task[None]) -> None:
        if self._looking is looking:
            self._looking = None
        if not looking.cancelled() and (error := looking.exception()) is not None:
            log.warning("cannot look at the keys", error=str(error))

    async def _read(self) -> None:
        began_s = self._clock.monotonic()
        wants_all = began_s - self._all_known_s >= _ALL_AGAIN_S
        found = await self._store.api_key_changes(0 if wants_all else self._last)
        if wants_all:
            self._by_id, self._by_hash, self._by_certificate = {}, {}, {}
            self._all_known_s = began_s
        for key in found.changed:
            self._take(key)
        if found.last < self._last:
            self._all_known_s = -float("inf")
        self._last = max(found.last, int(self.has_keys))  # once closed, the door stays so
        self._known_s = began_s

    def _take(self, key: ApiKey) -> None:
        self._drop(key.id)
        if key.revoked_ns is not None:
            return
        if key.role not in list(Role):
            log.warning("a key has a role that this version does not know, and lets nobody in", key=key.id)
            return
        principal = Principal(key.tenant, Role(key.role), key.id, key.name)
        held = HeldKey(principal, key.secret_hash, key.certificate, key.expires_ns)
        self._by_id[key.id] = held
        if key.secret_hash is not None:
            self._by_hash[key.secret_hash] = held
        if key.certificate is not None:
            self._by_certificate[key.certificate] = held

    def _drop(self, key_id: str) -> None:
        old = self._by_id.pop(key_id, None)
        if old is None:
            return
        if old.secret_hash is not None:
            self._by_hash.pop(old.secret_hash, None)
        if old.certificate is not None and self._by_certificate.get(old.certificate) is old:
            del self._by_certificate[old.certificate]

    # -- noting --

    async def _note_now_and_then(self) -> None:
        while True:
            await self._was_used.wait()
            await self._note()
            await self._clock.sleep(_NOTE_EVERY_S)

    async def _note(self) -> None:
        """What cannot be written is left out: it is written with the next use."""
        self._was_used.clear()
        used, self._used = list(self._used.items()), {}
        try:
            for start in range(0, len(used), _BITE):
                await self._store.note_api_keys_used(dict(used[start : start + _BITE]))
        except (StoreFailed, Fenced) as error:
            log.warning("cannot note when keys were used", error=str(error))
