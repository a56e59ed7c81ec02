"""Whatever is sent to the REST door, it answers as its description says, and never with a failure of its own.

Every route is called with requests that fit the description and with requests that do not. What earlier calls have
made is what later ones are about, half of the time. SENDOFF_FUZZ_EXAMPLES=100 makes it a longer search, with
SENDOFF_FUZZ_SEED a different one.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from random import Random
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.fixtures.server import Serve
from tests.gateway.sdk import KINDS, connected, ended, url
from tests.gateway.test_description import TABLES

EXAMPLES = int(os.environ.get("SENDOFF_FUZZ_EXAMPLES", "4"))
"""Requests to each route, of each kind: that fit, and that do not."""
SEED = int(os.environ.get("SENDOFF_FUZZ_SEED", "1"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
NEVER_WORKS = "GET /v1/runs/{run_id}/trace"
"""Answers 501, as the API's server does that keeps no traces; all other failures are failures."""
_CALL_TIMEOUT_S = 20
_SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
_MAKES = {
    "POST /v1/agents/": "agent_id",
    "POST /v1/blocks/": "block_id",
    "POST /v1/callback-endpoints": "endpoint_id",
    "POST /v1/conversations/": "conversation_id",
    "POST /v1/tools/": "tool_id",
    "POST /v1/agents/{agent_id}/messages/async": "run_id",
}
"""Where answers have the ids of new things."""
_MODEL = "scripted/echo"


class Attack:
    """Calls of one fuzz, and what they have come to."""

    def __init__(self, base_url: str, known: Mapping[str, Iterable[str]]) -> None:
        self.statuses: dict[str, set[int]] = defaultdict(set)
        self.failures: list[str] = []
        self._base_url = base_url
        self._known = {name: list(values) for name, values in known.items()}
        self._chance = Random(SEED)

    def run(self) -> None:
        """Call every operation; those that delete come last, so that the others have something to work on."""
        described: Any = schemathesis.openapi.from_url(f"{self._base_url}/openapi.json")
        operations = [result.ok() for result in described.get_all_operations()]
        for operation in sorted(operations, key=lambda each: each.method.upper() == "DELETE"):
            for mode in GenerationMode:
                with suppress(Unsatisfiable):  # where nothing is asked, nothing can be wrong
                    self._call(operation, mode)

    def _call(self, operation: Any, mode: GenerationMode) -> None:
        @seed(SEED)
        @_SETTINGS
        @given(case=operation.as_strategy(generation_mode=mode))
        def call(case: Any) -> None:
            self._nudge(case)
            response = case.call(base_url=self._base_url, timeout=_CALL_TIMEOUT_S)
            self.statuses[operation.label].add(response.status_code)
            never_works = response.status_code == 501 and operation.label == NEVER_WORKS
            try:
                case.validate_response(response, checks=CHECKS[never_works:])
            except FailureGroup as failures:
                self.failures.append(f"{operation.label}: {failures} {[str(each) for each in failures.exceptions]}")
            self._learn(operation.label, response)

        call()

    def _nudge(self, case: Any) -> None:
        """Let it be about what there is: else nearly nothing would get behind the first check."""
        for places in (case.path_parameters, case.query):
            for name in places or ():
                if name in self._known and self._chance.random() < 0.7:
                    places[name] = self._chance.choice(self._known[name])
        body = case.body
        if isinstance(body, dict):
            for name in ("model", "override_model"):
                if name in body and self._chance.random() < 0.8:
                    body[name] = _MODEL

    def _learn(self, label: str, response: Any) -> None:
        name = _MAKES.get(label)
        if name is not None and response.status_code == 200:
            told = response.json()
            self._known.setdefault(name, []).append(told.get("endpoint", told)["id"])


# The server, which is in this process, draws lots when a callback fails, and that is taken for a fault of a strategy.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
async def test_made_up_requests_are_answered_as_described_and_nothing_fails(serve: Serve) -> None:
    async with (
        serve(http_address="127.0.0.1:0") as server,
        connected(url(server), KINDS[-1]) as sdk,
        httpx.AsyncClient(base_url=url(server)) as http,
    ):
        agent = await sdk.agent(_MODEL)
        endpoint = (await http.post("/v1/callback-endpoints")).json()["endpoint"]
        run = await sdk("agents.messages.create_async", agent, input="hello")
        await ended(server, run.id)
        step = (await sdk("runs.steps.list", run.id)).items[0]
        message = (await sdk("runs.messages.list", run.id)).items[0]
        conversation = await sdk("conversations.create", agent_id=agent)
        known = {"agent_id": agent, "run_id": run.id, "conversation_id": conversation.id}
        (delivery,) = (await http.get("/v1/callback-deliveries")).json()["deliveries"]
        known |= {"step_id": step.id, "message_id": message.id}
        known |= {"endpoint_id": endpoint["id"], "delivery_id": delivery["id"]}
        attack = Attack(url(server), {name: [value] for name, value in known.items()})
        await asyncio.to_thread(attack.run)

    assert not attack.failures, "\n\n".join(dict.fromkeys(attack.failures))
    there = {f"{method} {path}" for table in TABLES for method, path, _ in table}
    assert there - set(attack.statuses) <= {"GET /openapi.json"}  # where the description comes from
    well = {label for label, statuses in attack.statuses.items() if 200 in statuses}
    assert len(well) > len(there) * 0.6, there - well
    assert set.union(*attack.statuses.values()) >= {200, 404, 422}
