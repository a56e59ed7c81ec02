"""Tools. Functions that write are one transaction each."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.store.postgres.conditions import follows, joined
from sendoff_server.store.postgres.connection import Connection, fenced, sought_bytes
from sendoff_server.store.postgres.queries import named, numbered


async def put(connection: Connection, replica_no: int, tenant: str, tool: v1.Tool, expected_etag: str | None) -> bool:
    created_ns = nanoseconds(tool.create_time)
    row = (tenant, tool.id, tool.name.encode(), tool.etag, tool.SerializeToString(), created_ns)
    async with fenced(connection, replica_no):
        if expected_etag is None:
            written = await connection.fetchval(named("create_tool"), *row)
        else:
            written = await connection.fetchval(named("update_tool"), *row, expected_etag)
        return written is not None


async def read(connection: Connection, tenant: str, tool_id: str) -> v1.Tool | None:
    body = await connection.fetchval(named("tool"), tenant, tool_id)
    return None if body is None else v1.Tool.FromString(body)


async def read_named(connection: Connection, tenant: str, name: str) -> v1.Tool | None:
    body = await connection.fetchval(named("tool_named"), tenant, sought_bytes(name))
    return None if body is None else v1.Tool.FromString(body)


async def read_page(connection: Connection, tenant: str, after_name: str, limit: int) -> list[v1.Tool]:
    rows = await connection.fetch(named("list_tools"), tenant, sought_bytes(after_name), limit)
    return [v1.Tool.FromString(body) for (body,) in rows]


async def read_page_by_time(
    connection: Connection, tenant: str, after: tuple[int, str] | None, limit: int, newest_first: bool
) -> list[v1.Tool]:
    order = "DESC" if newest_first else "ASC"
    behind = follows(("create_time_ns", "id"), after, newest_first=newest_first)
    conditions, values = joined([("tenant = ?", (tenant,)), *behind])
    statement = f"SELECT body FROM tool WHERE {conditions} ORDER BY create_time_ns {order}, id {order} LIMIT ?"  # noqa: S608
    return [v1.Tool.FromString(body) for (body,) in await connection.fetch(numbered(statement), *values, limit)]


async def delete(connection: Connection, replica_no: int, tenant: str, tool_id: str) -> bool:
    async with fenced(connection, replica_no):
        return await connection.fetchval(named("delete_tool"), tenant, tool_id) is not None
