"""Whatever is sent to the REST door, it answers as its description says, and never with a failure of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.fixtures.server import Serve
from tests.gateway.sdk import KINDS, connected, ended, url
from tests.gateway.test_description import TABLES

_CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
_EXAMPLES = 6
_CALL_TIMEOUT_S = 10
_ENDS_THINGS = ("DELETE",)
_NEVER_WORKS = "GET /v1/runs/{run_id}/trace"
"""Answers 501, as the API's server does without a backend for traces."""


def _operations(schema: Any) -> Iterator[Any]:
    """All operations; those that delete come last, so that the others have something to work on."""
    found = [result.ok() for result in schema.get_all_operations()]
    return iter(sorted(found, key=lambda operation: operation.method.upper() in _ENDS_THINGS))


def _fuzz(base_url: str, known: dict[str, str]) -> list[tuple[str, int]]:
    """Call every operation with made-up requests; the statuses that came."""
    statuses: list[tuple[str, int]] = []
    for operation in _operations(schemathesis.openapi.from_url(f"{base_url}/openapi.json")):
        _attack(operation, base_url, known, statuses)
    return statuses


def _attack(operation: Any, base_url: str, known: dict[str, str], statuses: list[tuple[str, int]]) -> None:
    @settings(
        max_examples=_EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def attack(case: Any) -> None:
        case.path_parameters = {**case.path_parameters, **{n: known[n] for n in case.path_parameters if n in known}}
        response = case.call(base_url=base_url, timeout=_CALL_TIMEOUT_S)
        statuses.append((operation.label, response.status_code))
        checks = _CHECKS[1:] if operation.label == _NEVER_WORKS and response.status_code == 501 else _CHECKS
        case.validate_response(response, checks=checks)

    attack()


async def test_made_up_requests_are_answered_as_described_and_nothing_fails(serve: Serve) -> None:
    async with serve(http_address="127.0.0.1:0") as server, connected(url(server), KINDS[-1]) as sdk:
        agent = await sdk.agent("scripted/echo")
        run = await sdk("agents.messages.create_async", agent, input="hello")
        await ended(server, run.id)
        conversation = await sdk("conversations.create", agent_id=agent)
        known = {"agent_id": agent, "run_id": run.id, "conversation_id": conversation.id}
        statuses = await asyncio.to_thread(_fuzz, url(server), known)

    assert {status for _, status in statuses} >= {200, 422}
    called = {label for label, _ in statuses}
    there = {f"{method} {path}" for table in TABLES for method, path, _ in table}
    assert there - called <= {"GET /openapi.json"}  # where the description comes from
