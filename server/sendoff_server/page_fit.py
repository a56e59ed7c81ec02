"""How much of a page fits into one answer.

A page has a number of entries that the caller chose, and entries differ in size a thousandfold. gRPC clients refuse
answers of more than 4 MB unless told otherwise, so a page ends earlier where its bytes would be too many.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from google.protobuf.message import Message

MAX_PAGE_BYTES = 3 * 1024 * 1024

Entry = TypeVar("Entry", bound=Message)


def fitting(entries: Sequence[Entry], limit: int, max_bytes: int = MAX_PAGE_BYTES) -> Sequence[Entry]:
    """The first of them: at most `limit`, and as many as fit; one in any case, so that paging gets on."""
    left = max_bytes
    for count, entry in enumerate(entries[:limit]):
        left -= entry.ByteSize()
        if left < 0:
            return entries[: max(1, count)]
    return entries[:limit]
