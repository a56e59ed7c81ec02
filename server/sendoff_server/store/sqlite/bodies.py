"""Many bodies in one statement: small ones come as hex in one JSON text, large ones are fetched one by one.

A row each would cost a hand-over of the interpreter lock each; a text of large ones could outgrow what SQLite allows.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator

from sendoff_server.store.sqlite.queries import named


def read_bodies(
    connection: sqlite3.Connection, name: str, values: tuple[object, ...], one: str, **texts: str
) -> Iterator[bytes]:
    """Run a statement that gives one JSON list of [key, body in hex or null]; `one` fetches the body of one key.

    `texts` as for `named`.
    """
    (found,) = connection.execute(named(name, **texts), values).fetchone()
    for key, body in json.loads(found):
        if body is not None:
            yield bytes.fromhex(body)
        else:
            yield from read_one(connection, one, key)


def read_one(connection: sqlite3.Connection, one: str, key: int) -> Iterator[bytes]:
    """Nothing, if the row was deleted meanwhile."""
    for (body,) in connection.execute(named(one), (key,)).fetchall():
        yield body
