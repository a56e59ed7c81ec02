"""Page tokens: where a list goes on, in a form that callers hand back and do not read.

A token holds the cursor and a digest of the query, so that a token of another query is refused. It is no secret and
proves nothing: whatever a caller writes into one, he sees only what the query lets him see.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json

from google.protobuf.message import Message

from sendoff_server.errors import InvalidRequest, Violation

Cursor = tuple[int, str]
"""Sort key and id of the last entry of a page."""

_LONGEST = 2_048
_INT64 = range(-(2**63), 2**63)
_DIGEST_BYTES = 9
_PAGING = ("page_token", "page_size")


def digest(request: Message) -> str:
    """What a list request asks for, apart from the page."""
    query = type(request)()
    query.CopyFrom(request)
    for name in _PAGING:
        query.ClearField(name)
    words = query.DESCRIPTOR.full_name.encode() + b"\0" + query.SerializeToString(deterministic=True)
    return _hashed(words)


def write(cursor: Cursor, query_digest: str) -> str:
    """The token of the page behind `cursor`."""
    body = json.dumps([*cursor, query_digest], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(f"{_hashed(body.encode())}{body}".encode()).decode().rstrip("=")


def read(token: str, query_digest: str) -> Cursor | None:
    """The cursor of a token; None for the empty token, which is the first page.

    Raises InvalidRequest for what this module has not written, or has written for another query.
    """
    if not token:
        return None
    try:
        sort_key, entry_id, written_for = _parse(token)
    except (ValueError, RecursionError):
        raise _refusal("is not a token of this server; begin again without it") from None
    if written_for != query_digest:
        raise _refusal("belongs to another query; repeat the request of the page before, or begin again without it")
    return sort_key, entry_id


def _parse(token: str) -> tuple[int, str, str]:
    """Raises ValueError for anything but (int64, str, str) with its checksum."""
    if len(token) > _LONGEST:
        raise ValueError("too long")
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
    except binascii.Error as error:
        raise ValueError("not base64") from error
    checksum_length = len(_hashed(b""))
    checksum, body = text[:checksum_length], text[checksum_length:]
    if checksum != _hashed(body.encode()):
        raise ValueError("wrong checksum")
    match json.loads(body):
        case [int(sort_key), str(entry_id), str(written_for)] if sort_key in _INT64:
            return sort_key, entry_id, written_for
    raise ValueError("wrong shape")


def _hashed(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()).decode()


def _refusal(told: str) -> InvalidRequest:
    return InvalidRequest([Violation("page_token", told)])
