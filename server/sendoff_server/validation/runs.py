"""Rules of the requests of `RunService`."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.validation.create_message import check_create_message as check_create_message
from sendoff_server.validation.create_message import check_message_types
from sendoff_server.validation.rules import (
    MESSAGE_ORDERS,
    RUN_ID,
    check_choice,
    check_duration,
    check_enum,
    check_id,
    check_items,
    check_length,
    check_message_bounds,
    check_number,
)
from sendoff_server.validation.unsupported import check_supported
from sendoff_server.validation.violations import Violations

ORDERS = ("", "create_time", "create_time asc", "create_time desc")
"""What order_by may be."""

_STATUSES = frozenset(v1.RunStatus.values()) - {0}
_WAIT_UNTIL = frozenset(v1.WaitUntil.values()) - {0}
_STOP_REASONS = frozenset(v1.StopReason.values()) - {0}


def check_get_run(request: v1.GetRunRequest) -> None:
    found = Violations()
    check_id(found, "run_id", request.run_id, RUN_ID)
    found.refuse()


def check_list_runs(request: v1.ListRunsRequest) -> None:
    found = Violations()
    for index, status in enumerate(request.statuses):
        check_enum(found, f"statuses[{index}]", status, _STATUSES)
    for index, reason in enumerate(request.stop_reasons):
        check_enum(found, f"stop_reasons[{index}]", reason, _STOP_REASONS)
    if request.conversation_id == "default" and not request.agent_id:
        found.add("conversation_id", "default says nothing without agent_id")
    check_items(found, "agent_ids", len(request.agent_ids), most=100)
    check_choice(found, "order_by", request.order_by, ORDERS)
    check_number(found, "page_size", request.page_size, least=0)
    found.refuse()
    check_supported(request)


def check_wait_run(request: v1.WaitRunRequest) -> None:
    found = Violations()
    check_id(found, "run_id", request.run_id, RUN_ID)
    if request.HasField("timeout"):
        check_duration(found, "timeout", request.timeout, least_s=0)
    if request.until:
        check_enum(found, "until", request.until, _WAIT_UNTIL)
    if request.HasField("changed_after_sequence"):
        check_number(found, "changed_after_sequence", request.changed_after_sequence, least=0)
        if request.until:
            found.add("until", "may not stand together with changed_after_sequence")
    found.refuse()
    check_supported(request)


def check_watch_run(request: v1.WatchRunRequest) -> None:
    found = Violations()
    check_id(found, "run_id", request.run_id, RUN_ID)
    position = request.WhichOneof("position")
    if position == "after_sequence":
        check_number(found, "after_sequence", request.after_sequence, least=0)
    elif position and not getattr(request, position):
        found.add(position, "must be true when it is set")
    check_message_types(found, "message_types", request.message_types)
    if request.HasField("heartbeat_interval"):
        check_duration(found, "heartbeat_interval", request.heartbeat_interval, least_s=1, most_s=60)
    found.refuse()
    check_supported(request)


def check_list_run_events(request: v1.ListRunEventsRequest) -> None:
    found = Violations()
    check_id(found, "run_id", request.run_id, RUN_ID)
    check_number(found, "after_sequence", request.after_sequence, least=0)
    check_number(found, "page_size", request.page_size, least=0)
    found.refuse()


def check_list_run_messages(request: v1.ListRunMessagesRequest) -> None:
    found = Violations()
    check_id(found, "run_id", request.run_id, RUN_ID)
    check_number(found, "page_size", request.page_size, least=0)
    check_choice(found, "order_by", request.order_by, MESSAGE_ORDERS)
    check_message_bounds(found, request)
    found.refuse()


def check_delete_run(request: v1.DeleteRunRequest) -> None:
    found = Violations()
    check_id(found, "run_id", request.run_id, RUN_ID)
    found.refuse()


def check_explain_run(request: v1.ExplainRunRequest) -> None:
    found = Violations()
    check_id(found, "run_id", request.run_id, RUN_ID)
    found.refuse()


def check_cancel_run(request: v1.CancelRunRequest) -> None:
    found = Violations()
    check_id(found, "run_id", request.run_id, RUN_ID)
    check_length(found, "reason", request.reason, most=1_024)
    found.refuse()
    check_supported(request)
