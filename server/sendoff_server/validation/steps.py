"""Rules of the requests of `StepService`."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.validation.rules import RUN_ID, STEP_ID, check_choice, check_id, check_number
from sendoff_server.validation.violations import Violations

STEP_ORDERS = ("", "index", "index asc", "index desc")
"""What order_by may be."""


def check_get_step(request: v1.GetStepRequest) -> None:
    found = Violations()
    check_id(found, "step_id", request.step_id, STEP_ID)
    found.refuse()


def check_list_steps(request: v1.ListStepsRequest) -> None:
    found = Violations()
    check_id(found, "run_id", request.run_id, RUN_ID)
    check_choice(found, "order_by", request.order_by, STEP_ORDERS)
    check_number(found, "page_size", request.page_size, least=0)
    found.refuse()
