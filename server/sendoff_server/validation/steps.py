"""Rules of the requests of `StepService`."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.validation.rules import (
    RUN_ID,
    STEP_ID,
    check_choice,
    check_enum,
    check_id,
    check_items,
    check_length,
    check_number,
)
from sendoff_server.validation.violations import Violations

_BY_INDEX = ("index", "index asc", "index desc")
STEP_ORDERS = ("", *_BY_INDEX, "start_time", "start_time asc", "start_time desc")
"""What order_by may be."""
_FEEDBACKS = frozenset(v1.StepFeedback.values()) - {0}


def check_get_step(request: v1.GetStepRequest) -> None:
    found = Violations()
    check_id(found, "step_id", request.step_id, STEP_ID)
    found.refuse()


def check_list_steps(request: v1.ListStepsRequest) -> None:
    found = Violations()
    if request.run_id:
        check_id(found, "run_id", request.run_id, RUN_ID)
    check_choice(found, "order_by", request.order_by, STEP_ORDERS)
    if request.order_by in STEP_ORDERS[1:] and (request.order_by in _BY_INDEX) != bool(request.run_id):
        found.add("order_by", "goes by index within a run, and by start_time without run_id")
    check_number(found, "page_size", request.page_size, least=0)
    check_items(found, "trace_ids", len(request.trace_ids), most=100)
    check_items(found, "tags", len(request.tags), most=64)
    _check_feedback(found, request.feedback)
    for name in ("after_step_id", "before_step_id"):
        if request.HasField(name):
            check_id(found, name, getattr(request, name), STEP_ID)
    found.refuse()


def check_list_step_messages(request: v1.ListStepMessagesRequest) -> None:
    found = Violations()
    check_id(found, "step_id", request.step_id, STEP_ID)
    found.refuse()


def check_update_step_feedback(request: v1.UpdateStepFeedbackRequest) -> None:
    found = Violations()
    check_id(found, "step_id", request.step_id, STEP_ID)
    _check_feedback(found, request.feedback)
    if check_items(found, "tags.values", len(request.tags.values), most=64):
        for index, tag in enumerate(request.tags.values):
            check_length(found, f"tags.values[{index}]", tag, least=1, most=255)
    found.refuse()


def _check_feedback(found: Violations, feedback: int) -> None:
    if feedback:
        check_enum(found, "feedback", feedback, _FEEDBACKS)
