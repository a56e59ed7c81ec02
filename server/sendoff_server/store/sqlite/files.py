"""Files with their bytes. Functions that write are one transaction each, in the writer thread."""

from __future__ import annotations

import sqlite3

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.store.items import Key, Mismatched
from sendoff_server.store.sqlite.connection import transaction
from sendoff_server.store.sqlite.leases import check_alive
from sendoff_server.store.sqlite.queries import named


def create(
    connection: sqlite3.Connection,
    replica_no: int,
    tenant: str,
    file: v1.File,
    data: bytes,
    key: Key | None,
    fingerprint: bytes,
) -> v1.File | Mismatched:
    with transaction(connection):
        check_alive(connection, replica_no)
        if key is not None:
            known = connection.execute(named("file_of_key"), (tenant, key.value, key.scope)).fetchone()
            if known is not None:
                file_id, stored_fingerprint, body = known
                return v1.File.FromString(body) if stored_fingerprint == fingerprint else Mismatched(key, file_id)
        row = (
            file.id,
            tenant,
            nanoseconds(file.create_time),
            key.scope if key else None,
            key.value if key else None,
            fingerprint,
            file.SerializeToString(),
            data,
        )
        connection.execute(named("create_file"), row)
    return file


def read(connection: sqlite3.Connection, tenant: str, file_id: str) -> v1.File | None:
    row = connection.execute(named("file"), (tenant, file_id)).fetchone()
    return None if row is None else v1.File.FromString(row[0])


def read_data(connection: sqlite3.Connection, tenant: str, file_id: str) -> bytes | None:
    row = connection.execute(named("file_data"), (tenant, file_id)).fetchone()
    return None if row is None else bytes(row[0])


def read_page(connection: sqlite3.Connection, tenant: str, after: tuple[int, str] | None, limit: int) -> list[v1.File]:
    rows = connection.execute(named("list_files"), (tenant, *(after or (None, None)), limit)).fetchall()
    return [v1.File.FromString(body) for (body,) in rows]


def delete(connection: sqlite3.Connection, replica_no: int, tenant: str, file_id: str) -> bool:
    with transaction(connection):
        check_alive(connection, replica_no)
        return connection.execute(named("delete_file"), (tenant, file_id)).rowcount == 1
