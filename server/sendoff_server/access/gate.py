"""What lets a call in, the same at both doors."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Protocol

from sendoff import api_key
from sendoff_server.access.principal import Permission, Principal
from sendoff_server.access.ring import HeldKey, KeyRing
from sendoff_server.clock import Clock
from sendoff_server.errors import PermissionDenied, Unauthenticated
from sendoff_server.store.port import DEFAULT_TENANT

_ANYBODY = Principal(DEFAULT_TENANT, None)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a call brought to tell who makes it."""

    authorization: str | None = None
    """The header, or the metadata, of that name; several are joined with commas, and count for nothing."""
    certificate_names: tuple[str, ...] = ()
    """What the caller's certificate is for, if the connection has proven one."""


class Gate(Protocol):
    """Asked before anything of a call is looked at."""

    async def admit(self, credentials: Credentials, *needed: Permission) -> Principal:
        """Who calls, if they may do what needs all these permissions.

        Raises Unauthenticated, PermissionDenied, StoreFailed, Fenced.
        """
        ...


class OpenGate:
    """For servers that have no keys: everybody is let in, as the one tenant."""

    async def admit(self, credentials: Credentials, *needed: Permission) -> Principal:
        return _ANYBODY


class KeyGate:
    """Lets in who has a key. Until the first key is made: everybody, as the one tenant."""

    def __init__(self, ring: KeyRing, clock: Clock) -> None:
        self._ring = ring
        self._clock = clock

    async def admit(self, credentials: Credentials, *needed: Permission) -> Principal:
        await self._ring.look()
        if not self._ring.has_keys:
            return _ANYBODY
        held = self._found(credentials)
        if held is None and credentials != Credentials() and await self._ring.look_again():
            held = self._found(credentials)
        if held is None:
            raise Unauthenticated
        self._ring.note_use(held)
        require(held.principal, *needed)
        return held.principal

    def _found(self, credentials: Credentials) -> HeldKey | None:
        """A bearer token that is no good is not made good by a certificate."""
        if credentials.authorization is not None:
            return self._of_token(credentials.authorization)
        for name in credentials.certificate_names:
            held = self._ring.by_certificate(name)
            if held is not None and self._counts(held):
                return held
        return None

    def _of_token(self, authorization: str) -> HeldKey | None:
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        key_id = api_key.key_id(token) if scheme.lower() == "bearer" else None
        held = self._ring.by_id(key_id) if key_id is not None else None
        if held is None or held.secret_hash is None:
            return None
        is_it = hmac.compare_digest(hash_of(token), held.secret_hash)
        return held if is_it and self._counts(held) else None

    def _counts(self, held: HeldKey) -> bool:
        return held.expires_ns is None or self._clock.now_ns() < held.expires_ns


def require(principal: Principal, *needed: Permission) -> None:
    """Raises PermissionDenied unless the principal has all these permissions."""
    for permission in needed:
        if not principal.may(permission):
            raise PermissionDenied(str(principal.role), permission.name)


def hash_of(token: str) -> bytes:
    """As keys are stored. Plain SHA-256 will do for a secret that is as long as the hash."""
    return hashlib.sha256(token.encode()).digest()
