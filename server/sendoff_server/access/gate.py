"""What lets a call in, the same at both doors."""

from __future__ import annotations

import hashlib
import hmac
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from sendoff import api_key
from sendoff_server.access.principal import Permission, Principal, act_for
from sendoff_server.access.ring import HeldKey, KeyRing
from sendoff_server.clock import Clock
from sendoff_server.errors import PermissionDenied, Unauthenticated
from sendoff_server.store.port import DEFAULT_TENANT, Fenced, StoreFailed

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

        Who has a credential and is not allowed to is acting from then on as well, so that the refusal can be noted.
        Raises Unauthenticated, PermissionDenied, StoreFailed, Fenced.
        """
        ...

    async def recheck(self, principal: Principal) -> None:
        """Before a stream tells something more to who was let in a while ago. Raises Unauthenticated."""
        ...


class OpenGate:
    """For servers that have no keys: everybody is let in, as the one tenant."""

    async def admit(self, credentials: Credentials, *needed: Permission) -> Principal:
        return _ANYBODY

    async def recheck(self, principal: Principal) -> None:
        """Nothing has changed."""


class KeyGate:
    """Lets in who has a key. Until the first key is made: everybody, as the one tenant."""

    def __init__(self, ring: KeyRing, clock: Clock) -> None:
        self._ring = ring
        self._clock = clock

    async def admit(self, credentials: Credentials, *needed: Permission) -> Principal:
        await self._ring.look()
        if (held := self._found(credentials)) is None and _may_be_new(credentials):
            await self._ring.look_behind()
            held = self._found(credentials)
        if not self._ring.has_keys:
            return _ANYBODY
        if held is None or not self._counts(held):
            raise Unauthenticated
        self._ring.note_use(held)
        act_for(held.principal)  # also of calls that are refused it is told who made them
        require(held.principal, *needed)
        return held.principal

    async def recheck(self, principal: Principal) -> None:
        """While the store is away streams go on: without it nobody can revoke a key."""
        with suppress(StoreFailed, Fenced):
            await self._ring.look()
        if not self._ring.has_keys:
            return
        held = self._ring.by_id(principal.key_id)
        if held is None or not self._counts(held):
            raise Unauthenticated

    def _found(self, credentials: Credentials) -> HeldKey | None:
        """The key that was brought, if it is known. A token that is no good is not made good by a certificate."""
        if credentials.authorization is not None:
            return self._of_token(_token_in(credentials.authorization))
        known = (self._ring.by_certificate(name) for name in credentials.certificate_names)
        return next((held for held in known if held is not None and self._counts(held)), None)

    def _of_token(self, token: str) -> HeldKey | None:
        """By its hash, which tells nobody who guesses how near he is."""
        digest = hash_of(token)
        held = self._ring.by_hash(digest)
        if held is None or held.secret_hash is None:
            return None
        return held if hmac.compare_digest(digest, held.secret_hash) else None

    def _counts(self, held: HeldKey) -> bool:
        return held.expires_ns is None or self._clock.now_ns() < held.expires_ns


def _may_be_new(credentials: Credentials) -> bool:
    """Whether a key that is not known could have been made a moment ago."""
    if credentials.authorization is not None:
        return api_key.key_id(_token_in(credentials.authorization)) is not None
    return bool(credentials.certificate_names)


def _token_in(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def require(principal: Principal, *needed: Permission) -> None:
    """Raises PermissionDenied unless the principal has all these permissions."""
    for permission in needed:
        if not principal.may(permission):
            raise PermissionDenied(str(principal.role), permission.name)


def hash_of(token: str) -> bytes:
    """As keys are stored. Plain SHA-256 will do for a secret that is as long as the hash."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
