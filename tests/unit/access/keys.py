"""A store that has keys and nothing else, and a ring and a gate in front of it, with a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sendoff_server.access.gate import Credentials, KeyGate
from sendoff_server.access.making import new_key
from sendoff_server.access.principal import Role
from sendoff_server.access.ring import KeyRing
from sendoff_server.store.api_keys import ApiKey, ApiKeyChanges, ApiKeyReads
from sendoff_server.store.port import StoreFailed
from tests.fixtures.clock import ManualClock


class KeyStore(ApiKeyReads):
    def __init__(self) -> None:
        self.keys: dict[str, tuple[int, ApiKey]] = {}
        self.last = 0
        self.looks = 0
        self.away = False
        self.gate = asyncio.Event()
        """Not set: whoever looks waits."""
        self.gate.set()
        self.used: list[dict[str, int]] = []

    def put(self, key: ApiKey) -> None:
        self.last += 1
        self.keys[key.id] = (self.last, key)

    async def api_key_changes(self, after: int) -> ApiKeyChanges:
        self.looks += 1
        told = ApiKeyChanges(self.last, [key for change, key in self.keys.values() if change > after])
        await self.gate.wait()
        if self.away:
            raise StoreFailed("away")
        return told

    async def note_api_keys_used(self, used: Mapping[str, int]) -> None:
        if self.away:
            raise StoreFailed("away")
        self.used.append(dict(used))


@dataclass
class World:
    store: KeyStore
    clock: ManualClock
    ring: KeyRing
    gate: KeyGate

    def key(self, **fields: Any) -> tuple[ApiKey, Credentials]:
        """One that is made now, and what its owner brings."""
        told = {"tenant": "acme", "role": Role.FULL, "name": "", "expires_ns": None, "certificate": "", **fields}
        made, token = new_key(**told, now_ns=self.clock.now_ns())  # type: ignore[arg-type]
        self.store.put(made)
        if token is None:
            return made, Credentials(None, (str(made.certificate),))
        return made, Credentials(f"Bearer {token}")

    def revoke(self, key: ApiKey) -> None:
        self.store.put(replace(key, revoked_ns=self.clock.now_ns()))


def a_world() -> World:
    store, clock = KeyStore(), ManualClock()
    ring = KeyRing(store, clock)
    return World(store, clock, ring, KeyGate(ring, clock))
