"""Keys that encrypt: 32 random bytes each, written in base64.

There may be several, with commas or blanks between them or one a line: the first encrypts, all decrypt, so that one can
be replaced without a gap.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

KEY_BYTES = 32
MOST_KEYS = 10


@dataclass(frozen=True, slots=True)
class EncryptionKey:
    """One of them."""

    raw: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """What it is called beside what it encrypted. Tells nothing of the key."""
        return hashlib.sha256(b"sendoff encryption key\0" + self.raw).hexdigest()[:8]


def new_key() -> str:
    """A new one, as it is written."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def keys_of(text: str) -> Sequence[EncryptionKey]:
    """The keys of a text. Raises ValueError, which does not tell what is in it."""
    written = [word for word in re.split(r"[\s,]+", text) if word]
    if len(written) > MOST_KEYS:
        raise ValueError(f"expected at most {MOST_KEYS} keys")
    keys = [_key(number, word) for number, word in enumerate(written, 1)]
    if len({key.raw for key in keys}) != len(keys):
        raise ValueError("a key stands there twice")
    return keys


def _key(number: int, word: str) -> EncryptionKey:
    try:
        raw = base64.b64decode(word.translate(_STANDARD), validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise ValueError(f"key {number} is not {KEY_BYTES} bytes in base64; `sendoff-server secrets new-key` makes one")
    return EncryptionKey(raw)


_STANDARD = str.maketrans("-_", "+/")
"""Other programs write the same in the alphabet for URLs."""
