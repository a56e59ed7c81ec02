"""Cases for the rules of what lists of agents, tags, blocks and tools are narrowed down by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf.message import Message

from sendoff import v1
from tests.unit.validation.rule_cases import Field, bounds, characters, enum, identifier

_SEARCH = characters(255)
_ID = "00000000-0000-4000-8000-{:012d}"


def _filter(**fields: Any) -> v1.CountAgentsRequest:
    return v1.CountAgentsRequest(filter=v1.AgentFilter(**fields))


def _tags(message: str, path: str, make: Callable[[Any], Message]) -> list[Field]:
    return [
        Field(f"{message}.tags", path, make, {"repeated.max_items = 64": (["t"] * 65, ["t"] * 64)}),
        Field(f"{message}.tags", f"{path}[0]", make, {"items.string.max_len = 255": (["é" * 256], ["é" * 255])}),
    ]


def _ids(name: str, path: str, prefix: str, owner: str, make: Callable[[Any], Message]) -> list[Field]:
    many = [f"{prefix}-{_ID.format(number)}" for number in range(101)]
    bad, good = identifier(prefix)
    return [
        Field(name, path, make, {"repeated.max_items = 100": (many, many[:100])}),
        Field(name, f"{path}[0]", make, {f"items as {owner}": ([bad], [good])}),
    ]


def _one_of(*choices: str) -> Mapping[str, tuple[Any, Any]]:
    told = ", ".join(f'"{choice}"' for choice in choices)
    return {f"string.in = [{told}]": ("size", choices[-1])}


_TIMES = ("create_time", "create_time asc", "create_time desc")
_AGENT_ORDERS = [
    f"{field}{way}" for field in ("create_time", "update_time", "last_run_time") for way in ("", " asc", " desc")
]

LISTS: Sequence[Field] = (
    Field("AgentFilter.name", "filter.name", lambda v: _filter(name=v), characters(255)),
    Field("AgentFilter.name_search", "filter.name_search", lambda v: _filter(name_search=v), _SEARCH),
    *_tags("AgentFilter", "filter.tags", lambda v: _filter(tags=v)),
    Field(
        "AgentFilter.last_stop_reasons",
        "filter.last_stop_reasons[0]",
        lambda v: _filter(last_stop_reasons=v),
        enum(v1.STOP_REASON_END_TURN, many=True),
    ),
    *_ids(
        "AgentFilter.agent_ids",
        "filter.agent_ids",
        "agent",
        "GetAgentRequest.agent_id",
        lambda v: _filter(agent_ids=v),
    ),
    Field(
        "ListAgentsRequest.order_by",
        "order_by",
        lambda v: v1.ListAgentsRequest(order_by=v),
        _one_of("", *_AGENT_ORDERS),
    ),
    Field("ListTagsRequest.search", "search", lambda v: v1.ListTagsRequest(search=v), _SEARCH),
    Field(
        "ListTagsRequest.page_size", "page_size", lambda v: v1.ListTagsRequest(page_size=v), bounds("int32", least=0)
    ),
    Field(
        "ListTagsRequest.order_by",
        "order_by",
        lambda v: v1.ListTagsRequest(order_by=v),
        _one_of("", "name", "name asc", "name desc"),
    ),
    Field("ListBlocksRequest.label_search", "label_search", lambda v: v1.ListBlocksRequest(label_search=v), _SEARCH),
    Field("ListBlocksRequest.value_search", "value_search", lambda v: v1.ListBlocksRequest(value_search=v), _SEARCH),
    Field(
        "ListBlocksRequest.description_search",
        "description_search",
        lambda v: v1.ListBlocksRequest(description_search=v),
        _SEARCH,
    ),
    *_tags("ListBlocksRequest", "tags", lambda v: v1.ListBlocksRequest(tags=v)),
    Field(
        "ListBlocksRequest.order_by",
        "order_by",
        lambda v: v1.ListBlocksRequest(order_by=v),
        _one_of("", *_TIMES),
    ),
    Field(
        "ListBlocksRequest.order_by",
        "order_by",
        lambda v: v1.ListBlocksRequest(order_by=v, agent_id=f"agent-{_ID.format(1)}"),
        {"not with agent_id": ("create_time", "")},
    ),
    *_ids(
        "ListToolsRequest.tool_ids",
        "tool_ids",
        "tool",
        "GetToolRequest.tool_id",
        lambda v: v1.ListToolsRequest(tool_ids=v),
    ),
    Field("ListToolsRequest.name_search", "name_search", lambda v: v1.ListToolsRequest(name_search=v), _SEARCH),
    Field(
        "ListToolsRequest.order_by",
        "order_by",
        lambda v: v1.ListToolsRequest(order_by=v),
        _one_of("", "name", *_TIMES),
    ),
)
