"""Words for JSON Schemas, and what a route is described by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sendoff_server import ids
from sendoff_server.gateway.asked import MAX_LIMIT
from sendoff_server.gateway.codec.schemas import REF, Schema, nullable

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
NOTHING: Schema = {"type": "null"}
MOMENT: Schema = {"type": "string", "format": "date-time"}


def an_id(prefix: str) -> Schema:
    return {"type": "string", "pattern": f"^{ids.pattern(prefix).pattern}$"}


def one_of(words: Sequence[str | None]) -> Schema:
    return {"enum": list(words)}


def list_of(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def noun(name: str) -> Schema:
    """A reference to the schema of a noun as answers have it."""
    return {"$ref": f"{REF}{name}"}


def always(**members: Schema) -> Schema:
    """An object in which all of these members are always there."""
    return {"type": "object", "required": list(members), "properties": dict(members)}


def may_have(**members: Schema) -> Schema:
    """An object in which each of these members can be left out, or null, which is the same."""
    return {"type": "object", "properties": {name: nullable(schema) for name, schema in members.items()}}


def needs(body: Schema, *names: str) -> Schema:
    """The same with members that must be there, and not null."""
    told = {name: body["properties"][name]["anyOf"][0] for name in names}
    return {**body, "required": list(names), "properties": {**body["properties"], **told}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a route takes and answers."""

    answers: Schema | None
    """None where it answers with a stream alone."""
    events: Schema | None = None
    """The data of the events, where it can answer with a stream."""
    can_be_over: bool = False
    """Whether a browser that has all of the stream is told to ask no more."""
    query: Mapping[str, Schema] = field(default_factory=dict)
    needed: frozenset[str] = frozenset()
    """Members of the query that must be there."""
    body: Schema | None = None
    example: Mapping[str, Any] | None = None
    """A body."""
    refused: frozenset[int] = frozenset()
    """Statuses of refusals beside those that follow from the path, the query and the body."""
    models_fail: bool = False
    """Whether it tells failures of the model by statuses of their own."""
    headers: tuple[str, ...] = ()
    """Headers of requests that it honours."""


LIMIT: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}
ORDER = one_of(["asc", "desc"])
CURSORS: Mapping[str, Schema] = {"before": TEXT, "after": TEXT, "limit": LIMIT, "order": ORDER}
Table = Mapping[tuple[str, str], Described]
