"""Encrypts secrets one by one, each bound to the place where it belongs: AES-256-GCM with a random nonce.

A sealed secret is a text: a NUL, which no secret has, the form's name, the id of the key, and nonce and ciphertext in
base64. What has no NUL in front is as somebody wrote it, when there was no key. Copied to another place it does not
open there.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sendoff_server.encryption_keys import EncryptionKey
from sendoff_server.errors import SecretUnreadable

_FORM = "\0aes256gcm"
_NONCE_BYTES = 12


class Place(NamedTuple):
    """Where a secret belongs."""

    tenant: str
    owner_id: str
    name: str = ""
    """Of the secret, where its owner has several with names."""


class Sealer:
    """Seals with the first of its keys, opens with any. Without keys secrets stay as they are."""

    def __init__(self, keys: Sequence[EncryptionKey] = ()) -> None:
        self._ciphers = {key.id: AESGCM(key.raw) for key in keys}
        self._first = keys[0].id if keys else ""

    @property
    def encrypts(self) -> bool:
        return bool(self._first)

    def seal(self, secret: str, place: Place) -> str:
        """What is to be kept of a secret that has no NUL."""
        if not self._first:
            return secret
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._first].encrypt(nonce, secret.encode(), _bound(place))
        return f"{_FORM}:{self._first}:{base64.b64encode(nonce + sealed).decode()}"

    def open(self, kept: str, place: Place) -> str:
        """The secret. Raises SecretUnreadable if its key is not here, or it was changed, or belongs elsewhere."""
        if not is_sealed(kept):
            return kept
        key_id, sealed = _parts(kept)
        try:
            return self._ciphers[key_id].decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound(place)).decode()
        except (KeyError, InvalidTag, ValueError):
            raise SecretUnreadable(place.owner_id, place.name, key_id, has_key=key_id in self._ciphers) from None

    def renewed(self, kept: str, place: Place) -> str:
        """The same secret, sealed with the first key. What cannot be opened stays as it is, for who has its key."""
        if not self._first or (is_sealed(kept) and _parts(kept)[0] == self._first):
            return kept
        try:
            return self.seal(self.open(kept, place), place)
        except SecretUnreadable:
            return kept


def is_sealed(kept: str) -> bool:
    """Whether it is unreadable without a key."""
    return kept.startswith("\0")


def _parts(kept: str) -> tuple[str, bytes]:
    """Id of the key; nonce and ciphertext, empty if they are damaged."""
    _, _, rest = kept.partition(":")
    key_id, _, encoded = rest.partition(":")
    try:
        return key_id, base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        return key_id, b""


def _bound(place: Place) -> bytes:
    return json.dumps(place).encode()
