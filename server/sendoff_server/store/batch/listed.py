"""What lists of messages go by: beside the entries of a batch a row for each message."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from sendoff import v1
from sendoff_server.message_types import message_type

Entry = tuple[int, v1.Message, int]
"""Key, entry, and the bytes that it has."""
Row = tuple[int, str, int, int, int]
"""Key of the first entry, id, types, place of the last entry, bytes."""

_PLACE = (1 << 20) - 1


def rows_of(entries: Iterable[Entry]) -> list[Row]:
    """One row for each message of these entries, which come in their order."""
    rows: list[Row] = []
    for message_id, group in groupby(entries, key=lambda entry: entry[1].id):
        of_id = list(group)
        types = 0
        for _, message, _ in of_id:
            types |= 1 << message_type(message)
        last_place = of_id[-1][0] & _PLACE
        rows.append((of_id[0][0], message_id, types, last_place, sum(size for _, _, size in of_id)))
    return rows
