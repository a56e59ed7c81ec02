"""Tools. Functions that write are one transaction each, in the writer thread."""

from __future__ import annotations

import sqlite3

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.store.sqlite.conditions import follows, joined
from sendoff_server.store.sqlite.connection import transaction
from sendoff_server.store.sqlite.leases import check_alive
from sendoff_server.store.sqlite.queries import named


def put(connection: sqlite3.Connection, replica_no: int, tenant: str, tool: v1.Tool, expected_etag: str | None) -> bool:
    row = (tenant, tool.id, tool.name, tool.etag, tool.SerializeToString(), nanoseconds(tool.create_time))
    with transaction(connection):
        check_alive(connection, replica_no)
        if expected_etag is None:
            written = connection.execute(named("create_tool"), row)
        else:
            written = connection.execute(named("update_tool"), (*row, expected_etag))
        return written.rowcount == 1


def read(connection: sqlite3.Connection, tenant: str, tool_id: str) -> v1.Tool | None:
    row = connection.execute(named("tool"), (tenant, tool_id)).fetchone()
    return None if row is None else v1.Tool.FromString(row[0])


def read_named(connection: sqlite3.Connection, tenant: str, name: str) -> v1.Tool | None:
    row = connection.execute(named("tool_named"), (tenant, name)).fetchone()
    return None if row is None else v1.Tool.FromString(row[0])


def read_page(connection: sqlite3.Connection, tenant: str, after_name: str, limit: int) -> list[v1.Tool]:
    rows = connection.execute(named("list_tools"), (tenant, after_name, limit)).fetchall()
    return [v1.Tool.FromString(body) for (body,) in rows]


def read_page_by_time(
    connection: sqlite3.Connection, tenant: str, after: tuple[int, str] | None, limit: int, newest_first: bool
) -> list[v1.Tool]:
    order = "DESC" if newest_first else "ASC"
    behind = follows(("create_time_ns", "id"), after, newest_first=newest_first)
    conditions, values = joined([("tenant = ?", (tenant,)), *behind])
    statement = f"SELECT body FROM tool WHERE {conditions} ORDER BY create_time_ns {order}, id {order} LIMIT ?"  # noqa: S608
    return [v1.Tool.FromString(body) for (body,) in connection.execute(statement, [*values, limit])]


def delete(connection: sqlite3.Connection, replica_no: int, tenant: str, tool_id: str) -> bool:
    with transaction(connection):
        check_alive(connection, replica_no)
        return connection.execute(named("delete_tool"), (tenant, tool_id)).rowcount == 1
