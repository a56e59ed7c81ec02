"""What queries hold."""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor

from sendoff_server.gateway.codec.schemas import Schema, Schemas
from sendoff_server.gateway.description.forms import MOMENT, WHOLE, an_id

_IDS = {"agent_id": "agent", "run_id": "run", "step_id": "step", "endpoint_id": "endpoint"}
_SCALARS = {"google.protobuf.Timestamp": MOMENT, "google.protobuf.Duration": {"type": "number", "minimum": 0}}


def query_of(descriptor: Descriptor, *without: str) -> dict[str, Schema]:
    """The members of a request of the contract that come in a query; those of lists are repeated."""
    schemas = Schemas()
    told = schemas.members(descriptor, without=frozenset(without))["properties"]
    found: dict[str, Schema] = {}
    for field in descriptor.fields:
        if field.name in without:
            continue
        if field.message_type is not None:
            found[field.name] = _SCALARS[field.message_type.full_name]
        elif field.name in _IDS:
            found[field.name] = an_id(_IDS[field.name])
        else:
            found[field.name] = {**WHOLE, "minimum": 0} if field.name == "page_size" else told[field.name]["anyOf"][0]
    return found
