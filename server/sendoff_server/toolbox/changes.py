"""What a tool becomes when a caller puts it: pure rules, for tools of tenants and for those that the server makes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from sendoff import v1
from sendoff_server.errors import InvalidRequest, Violation
from sendoff_server.validation import TOOL_OVERRIDABLE, TOOL_UPDATABLE

_ABOUT_TOOL = frozenset({"id", "name", "etag", "create_time", "update_time", "mcp_server"})
"""Output-only, or what the tool was found by."""
_OWN_TYPES = frozenset({v1.TOOL_TYPE_PYTHON, v1.TOOL_TYPE_CLIENT})


def fields_of(request: v1.UpsertToolRequest, allowed: Sequence[str]) -> Sequence[str]:
    """Which fields the request changes. Raises InvalidRequest if the mask names others."""
    if not request.HasField("update_mask"):
        return allowed
    wrong = [
        Violation(f"update_mask.paths[{index}]", f"must be one of {', '.join(allowed)}, for a tool of this type")
        for index, path in enumerate(request.update_mask.paths)
        if path not in allowed
    ]
    if wrong:
        raise InvalidRequest(wrong)
    return list(request.update_mask.paths)


def override(made: v1.Tool, row: v1.Tool | None, request: v1.UpsertToolRequest) -> v1.Tool:
    """The row that holds what a tenant sets of a tool that the server makes. Raises InvalidRequest if the request
    wants more than that, or no approvals where the operator wants them."""
    fields = fields_of(request, TOOL_OVERRIDABLE)
    if made.requires_approval and "requires_approval" in fields and not request.tool.requires_approval:
        raise InvalidRequest([Violation("tool.requires_approval", "must be true: the server's operator wants it so")])
    if not request.HasField("update_mask"):
        _check_untouched(made, request.tool)
    changed = v1.Tool()
    if row is not None:
        changed.CopyFrom(row)
    changed.id, changed.name, changed.type, changed.mcp_server = made.id, made.name, made.type, made.mcp_server
    return _merged(changed, request.tool, fields)


def _check_untouched(made: v1.Tool, wanted: v1.Tool) -> None:
    """What the server makes may be sent back as it was read, or left out."""
    wrong = [
        Violation(f"tool.{field.name}", f"is the server's; of this tool only {', '.join(TOOL_OVERRIDABLE)} can be set")
        for field, value in wanted.ListFields()
        if field.name not in TOOL_OVERRIDABLE
        and (field.name == "name" or field.name not in _ABOUT_TOOL)
        and value != getattr(made, field.name)
    ]
    if wrong:
        raise InvalidRequest(wrong)


def own(current: v1.Tool | None, request: v1.UpsertToolRequest) -> v1.Tool:
    """A tool of a tenant, new without a current one. What is made of source code is not there yet. Raises
    InvalidRequest."""
    changed = v1.Tool()
    if current is None:
        changed.type = request.tool.type
        fields: Sequence[str] = TOOL_UPDATABLE
    else:
        changed.CopyFrom(current)
        fields = fields_of(request, TOOL_UPDATABLE)
    name = changed.name
    _merged(changed, request.tool, fields)
    changed.name = changed.name or name
    changed.effect = changed.effect or v1.TOOL_EFFECT_ONCE
    _check_own(changed, request.tool)
    return changed


def _merged(changed: v1.Tool, wanted: v1.Tool, fields: Collection[str]) -> v1.Tool:
    """`changed`, with these fields as the request has them, be they unset."""
    FieldMask(paths=fields).MergeMessage(wanted, changed, replace_message_field=True, replace_repeated_field=True)
    return changed


def _check_own(tool: v1.Tool, wanted: v1.Tool) -> None:
    """`tool` as it would be; `wanted` as the request has it."""
    wrong: list[Violation] = []
    if tool.type not in _OWN_TYPES:
        wrong.append(Violation("tool.type", "must be PYTHON or CLIENT: there is no tool of that name yet"))
    elif wanted.type not in (v1.TOOL_TYPE_UNSPECIFIED, tool.type):
        told = f"is {v1.ToolType.Name(tool.type)} and cannot be changed; delete the tool, or take another name"
        wrong.append(Violation("tool.type", told))
    if tool.type == v1.TOOL_TYPE_PYTHON and not tool.source_code:
        wrong.append(Violation("tool.source_code", "must not be empty for a PYTHON tool"))
    if tool.type == v1.TOOL_TYPE_CLIENT:
        if tool.source_code:
            wrong.append(Violation("tool.source_code", "belongs to PYTHON tools only"))
        if tool.HasField("timeout"):
            told = "has no meaning for a CLIENT tool: its caller has as long as limits.action_timeout says"
            wrong.append(Violation("tool.timeout", told))
    if wrong:
        raise InvalidRequest(wrong)
