"""The description of the REST door, made from the tables that route it and the descriptors that its codec reads.

So it cannot name a route that is not there, nor leave one out. What an answer holds is told by what its writer makes
of an empty message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from sendoff import v1
from sendoff_server import ids
from sendoff_server.gateway.asked import MAX_LIMIT
from sendoff_server.gateway.codec.schemas import REF, Schema, Schemas
from sendoff_server.gateway.doors import Endpoint, Table
from sendoff_server.gateway.nouns.messages import head
from sendoff_server.gateway.nouns.runs import run_json, usage_json

_PREFIXES = {"conversation_id": "conv"}
"""The kinds of ids whose name in a path is not their prefix."""
_PLACES = re.compile(r"{(\w+)}")
_SENDING = ("/messages", "/messages/async", "/messages/stream")
_CURSORS = ("/v1/runs/", "/v1/agents/", "/v1/conversations/")
_STREAM_MEMBERS: Schema = {
    name: {"type": "boolean", "default": default}
    for name, default in (
        ("streaming", False),
        ("stream_tokens", False),
        ("include_pings", True),
        ("background", False),
    )
}


def document(tables: Iterable[Table]) -> dict[str, Any]:
    """The OpenAPI document of these tables."""
    schemas = Schemas()
    paths: dict[str, dict[str, Any]] = {}
    for table in tables:
        for method, path, endpoint in table:
            paths.setdefault(path, {})[method.lower()] = _operation(schemas, method, path, endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sendoff",
            "version": version("sendoff"),
            "description": "Durable runs of LLM agents, in the dialect of Letta's API.",
        },
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": {**schemas.components, **_answers()}},
    }


def _operation(schemas: Schemas, method: str, path: str, endpoint: Endpoint) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": "_".join([method.lower(), *re.findall(r"\w+", path.removeprefix("/v1"))]),
        "summary": _summary(endpoint),
        "tags": [path.split("/")[2] if path.startswith("/v1/") else "description"],
        "parameters": [*_places(path), *(_cursors() if method == "GET" and path in _CURSORS else ())],
        "responses": {"200": _success(method, path), "default": _refusal()},
    }
    if method in ("POST", "PATCH", "PUT"):
        told["requestBody"] = {"content": {"application/json": {"schema": _body(schemas, path)}}}
    return told


def _summary(endpoint: Endpoint) -> str:
    """What the endpoint's docstring says behind the route that it begins with."""
    first = (endpoint.__doc__ or "").strip().partition("\n\n")[0]
    said = re.sub(r"^[A-Z]+ /\S*?(?=[:,]?(\s|$))[:,]?\s*", "", first)
    return " ".join(said.split()) or endpoint.__name__.replace("_", " ")


def _places(path: str) -> list[Schema]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _place(path, name)} for name in _PLACES.findall(path)
    ]


def _place(path: str, name: str) -> Schema:
    prefix = _PREFIXES.get(name, name.removesuffix("_id"))
    if name == "conversation_id" and "/{conversation_id}/" in path:
        return {"type": "string", "minLength": 1}  # conv-<uuid4>, `default`, or an agent's id
    if not name.endswith("_id"):
        return {"type": "string", "minLength": 1}
    return {"type": "string", "pattern": f"^{ids.pattern(prefix).pattern}$"}


def _cursors() -> list[Schema]:
    kinds: Mapping[str, Schema] = {
        "after": {"type": "string"},
        "before": {"type": "string"},
        "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
        "order": {"type": "string", "enum": ["asc", "desc"]},
    }
    return [{"name": name, "in": "query", "schema": schema} for name, schema in kinds.items()]


def _body(schemas: Schemas, path: str) -> Schema:
    if path == "/v1/agents/{agent_id}/messages/cancel":
        return {"type": "object", "properties": {"run_ids": {"type": "array", "items": {"type": "string"}}}}
    if not path.endswith(_SENDING):
        return {"type": "object"}
    body = schemas.members(v1.CreateMessageAsyncRequest.DESCRIPTOR, without=frozenset({"agent_id"}))
    if not path.endswith("/async"):
        body["properties"] |= _STREAM_MEMBERS
    return body


def _success(method: str, path: str) -> Schema:
    content: Schema = {"application/json": {"schema": _answer(method, path)}}
    if (path.endswith(("/stream", "/messages")) and method == "POST") or path.endswith(":watch"):
        content |= {"text/event-stream": {"schema": _always({"data": ""})}}
    if path == "/docs":
        content = {"text/html": {"schema": {"type": "string"}}}
    return {"description": "The answer.", "content": content}


def _answer(method: str, path: str) -> Schema:
    run = {"$ref": f"{REF}RunState"}
    message = {"$ref": f"{REF}MessageState"}
    told: Mapping[tuple[str, str], Schema] = {
        ("POST", "/v1/agents/{agent_id}/messages/async"): run,
        ("GET", "/v1/runs/"): {"type": "array", "items": run},
        ("GET", "/v1/runs/active"): {"type": "array", "items": run},
        ("GET", "/v1/runs/{run_id}"): run,
        ("GET", "/v1/runs/{run_id}/messages"): {"type": "array", "items": message},
        ("GET", "/v1/runs/{run_id}/usage"): {"$ref": f"{REF}UsageState"},
        ("GET", "/v1/agents/count"): {"type": "integer"},
    }
    return told.get((method, path), {})


def _answers() -> dict[str, Schema]:
    """Schemas of answers that have a writer of their own: every member is always there."""
    run = run_json(v1.Run(status=v1.RUN_STATUS_CREATED))
    return {
        "RunState": _always(run),
        "MessageState": _always(head(v1.Message(), "user_message")),
        "UsageState": _always(usage_json(v1.Usage())),
        "Refusal": {
            "type": "object",
            "anyOf": [
                {"required": ["detail"], "properties": {"detail": {"type": ["string", "object"]}}},
                {"required": ["error"], "properties": {"error": {"type": "object"}}},
            ],
        },
    }


def _always(told: Mapping[str, Any]) -> Schema:
    return {"type": "object", "required": list(told), "properties": {name: {} for name in told}}


def _refusal() -> Schema:
    return {
        "description": "Why not.",
        "content": {"application/json": {"schema": {"$ref": f"{REF}Refusal"}}},
    }
