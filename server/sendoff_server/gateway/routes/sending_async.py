"""Sending messages: what a request says, and its acceptance in the background."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.access.principal import acting
from sendoff_server.access.sending import may_send
from sendoff_server.errors import InvalidRequest, Violation
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import body_of, message_of, path_id
from sendoff_server.gateway.codec.paths import json_path
from sendoff_server.gateway.doors import Table
from sendoff_server.gateway.nouns.runs import run_json
from sendoff_server.use_cases import UseCases
from sendoff_server.validation import check_idempotency_key

_BOTH = "Cannot specify both 'input' and 'messages'"
_NEITHER = "Must specify either 'input' or 'messages'"
_LEGACY_SYSTEM = "system"
_RETRY_COUNT = "x-stainless-retry-count"
_READ_TIMEOUT = "x-stainless-read-timeout"
_REPEATS_WITHIN_S = 120.0
_BETWEEN_ATTEMPTS_S = 15.0
REPLAYED = {"idempotency-replayed": "true"}


async def create_async(use_cases: UseCases, request: Request) -> Response:
    """POST /v1/agents/{agent_id}/messages/async"""
    agent_id = path_id(request, "agent_id", "agent")
    wanted = message_request(await body_of(request), agent_id)
    run, headers = await accepted(use_cases, request, wanted)
    return answer(run_json(run), headers=headers)


async def accepted(
    use_cases: UseCases, request: Request, wanted: v1.CreateMessageAsyncRequest, *, background: bool = True
) -> tuple[v1.Run, Mapping[str, str]]:
    """Accept a request; the run, and headers that tell whether it was accepted before.

    Without `background` the caller waits, and OTIDs do not make a repeated request the same one, but a key does.
    Violations are told with the paths that the caller knows.
    """
    key = idempotency_key(request)
    may_send(wanted)
    try:
        run, replayed = await use_cases.runs.create(
            acting().tenant, wanted, key, background=background, repeated_within_s=repeated_within_s(request)
        )
    except InvalidRequest as error:
        raise InvalidRequest(_in_json(error.violations)) from None
    return run, REPLAYED if replayed else {}


def repeated_within_s(request: Request) -> float | None:
    """How long ago the SDK can have sent the same request before; None if it says that this is its first attempt.

    It repeats by itself after a broken connection or a timeout, without any key, and counts its attempts in a header.
    """
    count = request.headers.get(_RETRY_COUNT, "")
    if not re.fullmatch("[0-9]{1,2}", count) or int(count) == 0:
        return None
    timeout = request.headers.get(_READ_TIMEOUT, "")
    attempt_s = float(timeout) if re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,6})?", timeout) else 0.0
    return max(_REPEATS_WITHIN_S, int(count) * (attempt_s + _BETWEEN_ATTEMPTS_S))


def message_request(body: Mapping[str, Any], agent_id: str) -> v1.CreateMessageAsyncRequest:
    """The body as a request of the contract. Raises InvalidRequest."""
    has_input, has_messages = body.get("input") is not None, body.get("messages") is not None
    if has_input == has_messages:
        raise InvalidRequest([Violation("body", _BOTH if has_input else _NEITHER)])
    told = {name: value for name, value in body.items() if name != "agent_id"}
    if told.get("override_system") is None and isinstance(told.get(_LEGACY_SYSTEM), str):
        told["override_system"] = told[_LEGACY_SYSTEM]
    wanted = message_of(v1.CreateMessageAsyncRequest, told)
    wanted.agent_id = agent_id
    return wanted


def _in_json(violations: Sequence[Violation]) -> list[Violation]:
    kind = v1.CreateMessageAsyncRequest.DESCRIPTOR
    return [Violation(json_path(kind, each.field), each.description) for each in violations]


def idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None:
        check_idempotency_key(key)
    return key


TABLE: Table = (("POST", "/v1/agents/{agent_id}/messages/async", create_async),)
