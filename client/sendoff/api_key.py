"""What an API key looks like: `sk-sendoff-<id>-<secret><checksum>`.

The front is the same for all, so that scanners find keys that were published by mistake. The id is no secret, and
names the key in lists and logs. The secret has 256 random bits. The checksum tells a key with a typing error, or one
that was cut, from one that does not count any more, without asking a server.
"""

from __future__ import annotations

import re
import secrets
import string
import zlib

FRONT = "sk-sendoff-"
_LETTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET_LETTERS = 43  # 62 ** 43 is more than 2 ** 256
_CHECK_LETTERS = 6  # 62 ** 6 is more than 2 ** 32
_SHAPE = re.compile(f"{FRONT}([0-9a-f]{{16}})-[0-9A-Za-z]{{{_SECRET_LETTERS + _CHECK_LETTERS}}}")


def new() -> str:
    """A new key."""
    secret = "".join(secrets.choice(_LETTERS) for _ in range(_SECRET_LETTERS))
    told = f"{FRONT}{secrets.token_hex(8)}-{secret}"
    return told + _checksum(told)


def key_id(key: str) -> str | None:
    """The id in a key, as lists show it; None if it is none of ours, or damaged."""
    found = _SHAPE.fullmatch(key)
    if found is None or _checksum(key[:-_CHECK_LETTERS]) != key[-_CHECK_LETTERS:]:
        return None
    return f"key-{found[1]}"


def shown(of_id: str) -> str:
    """How a key with that id begins."""
    return FRONT + of_id.removeprefix("key-")


def check(key: str) -> None:
    """Raises ValueError for a key that no server can know: a damaged one, or one that cannot be sent in a header.

    One that does not begin like ours is left alone: what stands in front of a server may have its own.
    """
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("the API key has spaces or letters that cannot be sent; copy it again")
    if key.startswith(FRONT) and key_id(key) is None:
        raise ValueError(
            f"the API key {key[: len(FRONT) + 16]}... is damaged: a letter is wrong, missing or too many; copy it again"
        )


def _checksum(text: str) -> str:
    value, letters = zlib.crc32(text.encode()), ""
    for _ in range(_CHECK_LETTERS):
        value, digit = divmod(value, len(_LETTERS))
        letters = _LETTERS[digit] + letters
    return letters
