"""Rules of what `OpsService` is asked of dispatch and audit, each with a value that breaks it and one that does not."""

from __future__ import annotations

from collections.abc import Sequence

from sendoff import v1
from tests.unit.validation.rule_cases import AGENT, Field, bounds, characters, identifier, size

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

_AUDITED = {"key_id": 100, "method": 200, "resource_id": 200, "outcome": 100}


def _audited(name: str, most: int) -> Field:
    return Field(f"ListAuditEntriesRequest.{name}", name, lambda v: v1.ListAuditEntriesRequest(**{name: v}), size(most))


AUDIT: Sequence[Field] = (
    Field(
        "ListAuditEntriesRequest.page_size",
        "page_size",
        lambda v: v1.ListAuditEntriesRequest(page_size=v),
        bounds("int32", least=0),
    ),
    *(_audited(name, most) for name, most in _AUDITED.items()),
)

DISPATCH: Sequence[Field] = (
    Field(
        "PauseDispatchRequest",
        "fairness_key",
        lambda v: v1.PauseDispatchRequest(agent_id=AGENT, fairness_key=v),
        {"not both": ("acme", None)},
    ),
    Field(
        "PauseDispatchRequest.agent_id",
        "agent_id",
        lambda v: v1.PauseDispatchRequest(agent_id=v),
        {f'string.pattern = "^agent-{_UUID}$"': identifier("agent")},
    ),
    Field(
        "PauseDispatchRequest.fairness_key",
        "fairness_key",
        lambda v: v1.PauseDispatchRequest(fairness_key=v),
        {"string.min_bytes = 1": ("", "k"), "string.max_bytes = 64": ("é" * 33, "é" * 32)},
    ),
    Field("PauseDispatchRequest.reason", "reason", lambda v: v1.PauseDispatchRequest(reason=v), characters(500)),
    Field(
        "ResumeDispatchRequest.agent_id",
        "agent_id",
        lambda v: v1.ResumeDispatchRequest(agent_id=v),
        {"as PauseDispatchRequest.agent_id": identifier("agent")},
    ),
    Field(
        "ResumeDispatchRequest.fairness_key",
        "fairness_key",
        lambda v: v1.ResumeDispatchRequest(fairness_key=v),
        {"as PauseDispatchRequest.fairness_key": ("k" * 65, "k" * 64)},
    ),
)
