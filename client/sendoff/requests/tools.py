"""Requests about tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from google.protobuf.field_mask_pb2 import FieldMask

from sendoff import methods, v1
from sendoff.methods import Call


class ToolFilters(TypedDict, total=False):
    """Which tools to list, and in which order; all that are given must hold. See ListToolsRequest."""

    agent_id: str | None
    """Those that this agent names."""
    names: Sequence[str]
    types: Sequence[v1.ToolType.ValueType]
    tool_ids: Sequence[str]
    name_search: str
    order_by: str
    page_size: int


def upsert_tool(
    tool: v1.Tool, fields: Sequence[str] | None, *, create_only: bool
) -> Call[v1.UpsertToolRequest, v1.Tool]:
    """UpsertTool of these fields, None for all. With an etag it is not repeated, as UpdateAgent; nor if it may only
    make: the repeat would find what it made."""
    mask = FieldMask(paths=fields) if fields is not None else None
    request = v1.UpsertToolRequest(tool=tool, update_mask=mask, create_only=create_only)
    return Call(methods.UPSERT_TOOL, request, is_repeatable=not (tool.etag or create_only))


def get_tool(tool_id: str) -> Call[v1.GetToolRequest, v1.Tool]:
    return methods.GET_TOOL.call(v1.GetToolRequest(tool_id=tool_id))


def list_tools(filters: ToolFilters) -> v1.ListToolsRequest:
    return v1.ListToolsRequest(**filters)


def silent_mcp_servers() -> Call[v1.ListToolsRequest, v1.ListToolsResponse]:
    return methods.LIST_TOOLS.call(v1.ListToolsRequest(types=[v1.TOOL_TYPE_MCP], page_size=1))


def delete_tool(tool_id: str) -> Call[v1.DeleteToolRequest, v1.DeleteToolResponse]:
    return methods.DELETE_TOOL.call(v1.DeleteToolRequest(tool_id=tool_id))
