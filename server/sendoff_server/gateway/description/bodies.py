"""What bodies hold, from the messages of the contract that they are read into, and the door's own members."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.descriptor import Descriptor

from sendoff import v1
from sendoff_server.gateway.codec.schemas import Schema, Schemas, nullable
from sendoff_server.gateway.description.forms import FLAG, TEXT, WHOLE, an_id, list_of, may_have

RANGES: dict[str, Schema] = {
    "max_steps": {"minimum": 1},
    "top_logprobs": {"minimum": 0, "maximum": 20},
    "callback_url": {"format": "uri"},
    "override_model": {"pattern": "^[^/\\s]+/\\S+$"},
}
"""What the rules of shape say of members of a message request beyond their types."""


class Bodies:
    """Makes the schemas of bodies; types of the contract that they refer to are collected."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas

    def message(self, *, asynchronous: bool = False, streams: bool = True) -> Schema:
        """A message request: exactly one of `messages` and `input`."""
        told = self._schemas.members(v1.CreateMessageAsyncRequest.DESCRIPTOR, without=frozenset({"agent_id"}))
        members = told["properties"]
        for name, ranges in RANGES.items():
            members[name] = _ranged(members[name], ranges)
        members["system"] = nullable({**TEXT, "description": "Another name of override_system."})
        if not asynchronous:
            members |= _FOLLOWING
            del members["callback_url"], members["callback"]
        one = [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in ("messages", "input")]
        return {**told, "oneOf": one}

    def of(self, descriptor: Descriptor, *without: str, **more: Schema) -> Schema:
        """The members of a message of the contract, but for some, and others beside them."""
        told = self._schemas.members(descriptor, without=frozenset(without))
        return {**told, "properties": {**told["properties"], **{name: nullable(each) for name, each in more.items()}}}

    def only(self, descriptor: Descriptor, *names: str, **more: Schema) -> Schema:
        """Some members of a message of the contract, and others beside them."""
        without = [field.name for field in descriptor.fields if field.name not in names]
        return self.of(descriptor, *without, **more)


def _ranged(schema: Schema, ranges: Schema) -> Schema:
    if "anyOf" in schema:
        first, *others = schema["anyOf"]
        return {"anyOf": [{**first, **ranges}, *others]}
    return {**schema, **ranges}


_FOLLOWING: Schema = {
    name: nullable({**FLAG, "default": default})
    for name, default in (
        ("streaming", False),
        ("stream_tokens", False),
        ("include_pings", True),
        ("background", False),
    )
}
RESUME = may_have(
    starting_after={**WHOLE, "minimum": 0, "default": 0},
    include_pings={**FLAG, "default": True},
    poll_interval={"description": "Ignored: nothing is polled."},
    batch_size={"description": "Ignored."},
)
FOLLOW: Mapping[str, Schema] = {"starting_after": {**WHOLE, "minimum": 0, "default": 0}, "include_pings": FLAG}
RESUME_CONVERSATION = {
    **RESUME,
    "properties": {
        **RESUME["properties"],
        **may_have(agent_id=an_id("agent"), run_id=TEXT, otid=TEXT)["properties"],
    },
}
CANCEL = may_have(run_ids={**list_of(TEXT), "maxItems": 1_000})
