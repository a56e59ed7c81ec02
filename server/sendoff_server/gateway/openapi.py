"""The description of the REST door as an OpenAPI document.

Its paths are those of the tables that route the requests, so it cannot name a route that is not there, nor leave one
out; what a route takes and answers stands in `description/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from sendoff_server import ids
from sendoff_server.access.routes import ROUTES
from sendoff_server.gateway.codec.schemas import REF, Schema, Schemas
from sendoff_server.gateway.description import (
    agents,
    audit,
    callbacks,
    contexts,
    dispatch,
    facts,
    messages,
    runs,
    sending,
    toolbox,
)
from sendoff_server.gateway.description.answers import nouns
from sendoff_server.gateway.description.bodies import Bodies
from sendoff_server.gateway.description.forms import TEXT, Described
from sendoff_server.gateway.description.forms import Table as Descriptions
from sendoff_server.gateway.doors import Endpoint, Table

Json = dict[str, Any]

_KEY = "key"
_WHAT_KEY = "An API key, as `sendoff-server keys create` makes it. Servers without keys want none."
_PREFIXES = {"conversation_id": "conv"}
"""The kinds of ids whose name in a path is not their prefix."""
_PLACES = re.compile(r"{(\w+)}")
_WITHOUT_STORE = frozenset({"/v1/health/", "/livez"})
_REFUSALS: Mapping[int, tuple[str, str]] = {
    400: ("Refusal", "It cannot be done so: a malformed run id, or something named that there is not."),
    401: ("Refusal", "This server wants an API key, and there was none that counts."),
    403: ("Refusal", "The role of the API key is not enough."),
    404: ("Refusal", "There is nothing of that name."),
    408: ("Refusal", "The body did not come in time."),
    409: ("Conflict", "It does not go with what is there now."),
    413: ("Refusal", "The body is too large."),
    422: ("Unprocessable", "What is asked has not the form, or cannot be honoured; every fault is named."),
    429: ("Refusal", "The queue is full; Retry-After tells when to ask again."),
    501: ("Refusal", "This server does not do that; asking again does not help."),
    502: ("Refusal", "The model gave no summary, and everything is as it was."),
    503: ("Refusal", "The server stops, or its store does not answer; ask again."),
}
_MODEL_FAILURES: Mapping[int, str] = {
    400: "The model refused the request.",
    401: "The model provider refused the key.",
    402: "The model provider wants money.",
    404: "There is no such model.",
    429: "The model provider's limit is reached.",
    500: "The model failed.",
    504: "The model did not answer in time.",
}
_HEADERS: Mapping[str, str] = {
    "idempotency-key": "The same key is the same request, however often it is sent.",
    "last-event-id": "Only events behind that one; `starting_after` goes first.",
}


def undescribed(tables: Iterable[Table]) -> set[tuple[str, str]]:
    """The routes of these tables about which `description/` says nothing."""
    known = _descriptions(Bodies(Schemas()))
    return {(method, path) for table in tables for method, path, _ in table if (method, path) not in known}


def document(tables: Iterable[Table]) -> Json:
    """The OpenAPI document of these tables."""
    schemas = Schemas()
    known = _descriptions(Bodies(schemas))
    paths: dict[str, Json] = {}
    for table in tables:
        for method, path, endpoint in table:
            described = known.get((method, path), _PLAIN)
            paths.setdefault(path, {})[method.lower()] = _operation(method, path, endpoint, described)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sendoff",
            "version": version("sendoff"),
            "description": "Durable runs of LLM agents, in the dialect of Letta's API.",
        },
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted({**schemas.components, **nouns()}.items())),
            "securitySchemes": {_KEY: {"type": "http", "scheme": "bearer", "description": _WHAT_KEY}},
        },
    }


_PLAIN = Described(answers={}, refused=frozenset({400, 409}))
"""A route about which nothing is said."""


def _descriptions(bodies: Bodies) -> Descriptions:
    by_request = (runs.table, agents.table, callbacks.table, dispatch.table, sending.table, toolbox.table)
    told = [facts.TABLE, messages.TABLE, contexts.table(), audit.table(), *(table(bodies) for table in by_request)]
    return {route: described for table in told for route, described in table.items()}


# ---- what is asked ----


def _operation(method: str, path: str, endpoint: Endpoint, described: Described) -> Json:
    told: Json = {
        "operationId": "_".join([method.lower(), *re.findall(r"\w+", path.removeprefix("/v1"))]),
        "summary": _summary(endpoint),
        "tags": [path.split("/")[2].partition(":")[0] if path.startswith("/v1/") else "description"],
        "parameters": [*_places(path), *_query(described), *_headers(described)],
        "responses": {**_success(path, described), **_over(described), **_refused(method, path, described)},
    }
    if _wants_key(method, path):
        told["security"] = [{_KEY: []}]
    if described.body is not None:
        example = {} if described.example is None else {"example": described.example}
        told["requestBody"] = {"content": {"application/json": {"schema": described.body, **example}}}
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
    if not name.endswith("_id"):
        return {**TEXT, "minLength": 1}
    if name == "conversation_id" and "/{conversation_id}/" in path:
        return {**TEXT, "minLength": 1, "description": "conv-<uuid4>, `default`, or an agent's id for its own."}
    return {**TEXT, "pattern": f"^{ids.pattern(_PREFIXES.get(name, name.removesuffix('_id'))).pattern}$"}


def _query(described: Described) -> list[Schema]:
    return [
        {"name": name, "in": "query", "required": name in described.needed, "schema": schema}
        for name, schema in described.query.items()
    ]


def _headers(described: Described) -> list[Schema]:
    return [
        {"name": name, "in": "header", "required": False, "schema": TEXT, "description": _HEADERS[name]}
        for name in described.headers
    ]


# ---- what is answered ----


def _success(path: str, described: Described) -> Json:
    media = "text/html" if path == "/docs" else "application/json"
    content: Json = {} if described.answers is None else {media: {"schema": described.answers}}
    if described.events is not None:
        content["text/event-stream"] = {"schema": _event(described.events)}
    return {"200": {"description": "The answer.", "content": content}} if content else {}


def _over(described: Described) -> Json:
    return {"204": {"description": "All of it was told before."}} if described.can_be_over else {}


def _event(data: Schema) -> Schema:
    """One server-sent event; the last one's data is no JSON, but `[DONE]`."""
    text = {**TEXT, "contentMediaType": "application/json", "contentSchema": data}
    told = {"data": {"anyOf": [{"const": "[DONE]"}, text]}, "event": TEXT, "id": TEXT}
    return {"type": "object", "required": ["data"], "properties": told}


def _wants_key(method: str, path: str) -> bool:
    return bool(ROUTES[method, path.rstrip("/")])


def _refused(method: str, path: str, described: Described) -> Json:
    told: Json = {}
    denied = {401, 403} if _wants_key(method, path) else set()
    for status in sorted(_statuses(path, described) | denied):
        name, why = _REFUSALS[status]
        told[str(status)] = _refusal(why, {"$ref": f"{REF}{name}"})
    if described.models_fail:
        for status, why in _MODEL_FAILURES.items():
            told[str(status)] = _or_failure(told.get(str(status)), why)
    return told


def _statuses(path: str, described: Described) -> set[int]:
    """Those of the kinds of things that are asked, and the route's own."""
    found = set(described.refused)
    places = _PLACES.findall(path)
    found |= {404} if places else set()
    found |= {400 if place == "run_id" else 422 for place in places}
    found |= {422} if described.query or described.body is not None or described.headers else set()
    found |= {408, 413} if described.body is not None else set()
    return found | ({503} if path not in _WITHOUT_STORE else set())


def _refusal(why: str, schema: Schema) -> Json:
    return {"description": why, "content": {"application/json": {"schema": schema}}}


def _or_failure(refused: Json | None, why: str) -> Json:
    failure: Schema = {"$ref": f"{REF}ModelFailure"}
    if refused is None:
        return _refusal(why, failure)
    other = refused["content"]["application/json"]["schema"]
    return _refusal(f"{refused['description']} Or: {why}", {"anyOf": [other, failure]})
