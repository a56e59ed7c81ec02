"""How a request wants to be called back: each rule with a value that breaks it and one that just does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sendoff import v1
from tests.unit.validation.rule_cases import Field, create, identifier

URL = "https://example.com"


def calling_back(**options: Any) -> v1.CreateMessageAsyncRequest:
    return create(callback_url=URL, callback=v1.CallbackOptions(**options))


CALLBACK_OPTIONS: Sequence[Field] = (
    Field(
        "CreateMessageAsyncRequest.callback",
        "callback",
        lambda v: create(callback=v1.CallbackOptions(), **v),
        {"needs callback_url": ({}, {"callback_url": URL})},
    ),
    Field(
        "CallbackOptions.event_types",
        "callback.event_types[1]",
        lambda v: calling_back(event_types=v),
        {
            "as there": (
                ["run.started", "run.message"],
                ["run.started", "run.action_required", "run.finished"],
            )
        },
    ),
    Field(
        "CallbackOptions.secret_id",
        "callback.secret_id",
        lambda v: calling_back(secret_id=v),
        {"as GetEndpointRequest.endpoint_id": identifier("endpoint")},
    ),
)
