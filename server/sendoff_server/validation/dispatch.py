"""Rules of the requests about dispatch of `OpsService`."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.validation.rules import AGENT_ID, check_id, check_length, check_size
from sendoff_server.validation.violations import Violations

_KEY_BYTES = 64
_REASON_CHARACTERS = 500


def check_pause_dispatch(request: v1.PauseDispatchRequest) -> None:
    found = Violations()
    _check_scope(found, request)
    check_length(found, "reason", request.reason, most=_REASON_CHARACTERS)
    found.refuse()


def check_resume_dispatch(request: v1.ResumeDispatchRequest) -> None:
    found = Violations()
    _check_scope(found, request)
    found.refuse()


def _check_scope(found: Violations, request: v1.PauseDispatchRequest | v1.ResumeDispatchRequest) -> None:
    if request.HasField("agent_id"):
        check_id(found, "agent_id", request.agent_id, AGENT_ID)
    if request.HasField("fairness_key"):
        check_size(found, "fairness_key", request.fairness_key, least=1, most=_KEY_BYTES)
        if request.HasField("agent_id"):
            found.add("fairness_key", "must not be set together with agent_id; make two pauses")
