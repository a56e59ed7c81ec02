"""Rules of what a receiver of callbacks is to be told."""

from __future__ import annotations

from collections.abc import Sequence

from sendoff import v1
from sendoff_server.validation.rules import ENDPOINT_ID, check_choice, check_id, check_items
from sendoff_server.validation.violations import Violations

EVENT_TYPES = ("run.started", "run.action_required", "run.finished")


def check_callback_options(found: Violations, request: v1.CreateMessageAsyncRequest) -> None:
    """`callback`, which is set."""
    options = request.callback
    if not request.HasField("callback_url"):
        found.add("callback", "needs callback_url")
    check_event_types(found, "callback.event_types", options.event_types)
    if options.HasField("secret_id"):
        check_id(found, "callback.secret_id", options.secret_id, ENDPOINT_ID)


def check_event_types(found: Violations, path: str, event_types: Sequence[str]) -> None:
    if not check_items(found, path, len(event_types), most=len(EVENT_TYPES)):
        return
    for index, event_type in enumerate(event_types):
        check_choice(found, f"{path}[{index}]", event_type, EVENT_TYPES)
        if event_type in event_types[:index]:
            found.add(f"{path}[{index}]", "must differ from the types before it")
