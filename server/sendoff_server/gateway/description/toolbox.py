"""Tools, memory blocks and tags, and what agents have of them."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.gateway.codec.schemas import Schema
from sendoff_server.gateway.description.answers import REASON
from sendoff_server.gateway.description.bodies import Bodies
from sendoff_server.gateway.description.forms import (
    CURSORS,
    FLAG,
    NOTHING,
    OBJECT,
    TEXT,
    WHOLE,
    Described,
    Table,
    list_of,
    may_have,
    needs,
    noun,
    one_of,
)

_BLOCK, _TOOL, _AGENT = noun("BlockState"), noun("ToolState"), noun("AgentState")
_UNFIT = frozenset({400, 409})
"""Source code that is none of a tool, or a name that is taken."""
_CHANGED_BESIDE = frozenset({409})
_TAGS = {"tags": list_of(TEXT), "match_all_tags": FLAG}
AGENT_FILTERS: dict[str, Schema] = {"name": TEXT, "query_text": TEXT, "last_stop_reason": REASON, **_TAGS}
_BLOCK_FILTERS: dict[str, Schema] = {
    "label": TEXT,
    "name": TEXT,
    "templates_only": FLAG,
    **{f"{name}_search": TEXT for name in ("label", "value", "description")},
    **_TAGS,
    **CURSORS,
}
_TOOL_FILTERS: dict[str, Schema] = {
    "name": TEXT,
    "names": list_of(TEXT),
    "search": TEXT,
    **{name: list_of(TEXT) for name in ("tool_ids", "tool_types", "exclude_tool_types")},
    "return_only_letta_tools": FLAG,
    **CURSORS,
}
_TAG_LIST: dict[str, Schema] = {"name": TEXT, "query_text": TEXT, "order_by": one_of(["name"]), **CURSORS}


def table(bodies: Bodies) -> Table:
    return {**_blocks(bodies), **_tools(), **_belongings(bodies)}


def block(bodies: Bodies) -> Schema:
    names = ("label", "value", "limit", "description", "read_only", "metadata", "tags")
    return bodies.only(v1.Block.DESCRIPTOR, *names)


def _blocks(bodies: Bodies) -> Table:
    body = block(bodies)
    return {
        ("GET", "/v1/blocks/"): Described(query=_BLOCK_FILTERS, answers=list_of(_BLOCK), refused=frozenset({404})),
        ("POST", "/v1/blocks/"): Described(body=needs(body, "label", "value"), answers=_BLOCK),
        ("GET", "/v1/blocks/{block_id}"): Described(answers=_BLOCK),
        ("PATCH", "/v1/blocks/{block_id}"): Described(body=body, answers=_BLOCK, refused=_CHANGED_BESIDE),
        ("DELETE", "/v1/blocks/{block_id}"): Described(answers=NOTHING),
    }


def _tools() -> Table:
    body = may_have(
        source_code=TEXT,
        source_type=one_of(["python", "json"]),
        description=TEXT,
        json_schema=OBJECT,
        args_json_schema=OBJECT,
        tags=list_of(TEXT),
        return_char_limit=WHOLE,
        default_requires_approval=FLAG,
        enable_parallel_execution=FLAG,
    )
    made = Described(body=needs(body, "source_code"), answers=_TOOL, refused=_UNFIT)
    return {
        ("GET", "/v1/tools/"): Described(query=_TOOL_FILTERS, answers=list_of(_TOOL), refused=frozenset({404})),
        ("POST", "/v1/tools/"): made,
        ("PUT", "/v1/tools/"): made,
        ("GET", "/v1/tools/{tool_id}"): Described(answers=_TOOL),
        ("PATCH", "/v1/tools/{tool_id}"): Described(body=body, answers=_TOOL, refused=_UNFIT),
        ("DELETE", "/v1/tools/{tool_id}"): Described(answers=NOTHING),
        ("GET", "/v1/tags/"): Described(query=_TAG_LIST, answers=list_of(TEXT)),
    }


def _belongings(bodies: Bodies) -> Table:
    tools, blocks = "/v1/agents/{agent_id}/tools", "/v1/agents/{agent_id}/core-memory/blocks"
    changed, told = block(bodies), Described(answers=_BLOCK)
    attached = Described(answers=_AGENT, refused=_CHANGED_BESIDE)
    linked = Described(answers=NOTHING, refused=_CHANGED_BESIDE)
    changing = Described(body=changed, answers=_BLOCK, refused=_CHANGED_BESIDE)
    return {
        ("GET", tools): Described(query=CURSORS, answers=list_of(_TOOL)),
        ("PATCH", f"{tools}/attach/{{tool_id}}"): linked,
        ("PATCH", f"{tools}/detach/{{tool_id}}"): linked,
        ("PATCH", f"{tools}/approval/{{tool_name}}"): Described(
            query={"requires_approval": FLAG},
            body=may_have(requires_approval=FLAG),
            answers=NOTHING,
            refused=_CHANGED_BESIDE,
        ),
        ("GET", blocks): Described(query=CURSORS, answers=list_of(_BLOCK)),
        ("GET", f"{blocks}/{{block_label}}"): told,
        ("PATCH", f"{blocks}/{{block_label}}"): changing,
        ("GET", f"{blocks}/{{folder}}/{{block_label}}"): told,
        ("PATCH", f"{blocks}/{{folder}}/{{block_label}}"): changing,
        ("PATCH", f"{blocks}/attach/{{block_id}}"): attached,
        ("PATCH", f"{blocks}/detach/{{block_id}}"): attached,
    }
