"""Keys that let callers in, as engines keep them. Kept for ever: one that was revoked is marked, never removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sendoff import v1
from sendoff_server import ids

MAX_API_KEYS = 10_000
"""That are not revoked: servers hold all of them in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """Times are nanoseconds since 1970."""

    id: str
    tenant: str
    role: str
    name: str
    secret_hash: bytes | None
    """SHA-256 of the whole key; None: it stands for a certificate."""
    certificate: str | None
    """The name in a caller's certificate that it stands for; at most one key that is not revoked has it."""
    created_ns: int
    expires_ns: int | None = None
    revoked_ns: int | None = None
    used_ns: int | None = None
    """When it was used last; up to a minute behind."""


@dataclass(frozen=True, slots=True)
class ApiKeyChanges:
    """What became of keys since some change."""

    last: int
    """Number of the newest change of all; 0: there was never a key."""
    changed: Sequence[ApiKey]
    """As they are now, also those that are revoked."""


class ApiKeyTaken(Exception):
    """There are MAX_API_KEYS, or one that stands for that certificate; the message is for people."""


def audited(command: str, key_id: str) -> v1.AuditEntry:
    """The entry of a key's tenant for what was done at the desk, which is written with it."""
    return v1.AuditEntry(
        id=ids.new("audit"), method=f"sendoff-server keys {command}", resource_ids=[key_id], outcome="OK"
    )


class ApiKeyReads(Protocol):
    """What servers need of keys. Raises StoreFailed."""

    async def api_key_changes(self, after: int) -> ApiKeyChanges:
        """The keys that were made or revoked after the change of that number; after 0: all."""
        ...

    async def note_api_keys_used(self, used: Mapping[str, int]) -> None:
        """When keys were used last, by id. Never sets a time back."""
        ...


class ApiKeyDesk(Protocol):
    """Where an operator makes, lists and revokes keys, beside servers that run. Raises StoreFailed."""

    async def add(self, key: ApiKey) -> None:
        """Write a new key, and an entry of the audit. From the first on, programs that know of no keys are kept from
        the database.

        Raises ApiKeyTaken.
        """
        ...

    async def all(self, tenant: str | None) -> Sequence[ApiKey]:
        """Of a tenant, or of all; oldest first."""
        ...

    async def revoke(self, key_id: str, now_ns: int) -> ApiKey | None:
        """From now on it lets nobody in, and the audit has an entry of it. The key as it is then, None if there is
        none. One that was revoked stays as it is."""
        ...
