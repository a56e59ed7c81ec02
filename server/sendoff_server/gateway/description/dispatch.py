"""Pauses of dispatch."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.gateway.description.bodies import Bodies
from sendoff_server.gateway.description.forms import TEXT, Described, Table, an_id, noun

_KEY = {**TEXT, "minLength": 1, "maxLength": 64}


def table(bodies: Bodies) -> Table:
    scope = {"agent_id": an_id("agent"), "fairness_key": _KEY}
    return {
        ("POST", "/v1/dispatch:pause"): Described(
            body=bodies.of(v1.PauseDispatchRequest.DESCRIPTOR, **scope),
            example={"fairness_key": "acme", "reason": "the provider is down"},
            answers=noun("DispatchPause"),
            refused=frozenset({404, 429}),
        ),
        ("POST", "/v1/dispatch:resume"): Described(
            body=bodies.of(v1.ResumeDispatchRequest.DESCRIPTOR, **scope),
            example={"fairness_key": "acme"},
            answers=noun("DispatchResumption"),
            refused=frozenset({404}),
        ),
        ("GET", "/v1/dispatch-pauses"): Described(answers=noun("DispatchPauses")),
    }
