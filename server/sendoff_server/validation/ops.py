"""Rules of the requests of `OpsService`."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.validation.rules import check_number, check_size
from sendoff_server.validation.violations import Violations


def check_get_queue_stats(request: v1.GetQueueStatsRequest) -> None:
    found = Violations()
    check_size(found, "fairness_key", request.fairness_key, most=64)
    found.refuse()


def check_list_audit_entries(request: v1.ListAuditEntriesRequest) -> None:
    found = Violations()
    check_number(found, "page_size", request.page_size, least=0)
    check_size(found, "key_id", request.key_id, most=100)
    check_size(found, "method", request.method, most=200)
    check_size(found, "resource_id", request.resource_id, most=200)
    check_size(found, "outcome", request.outcome, most=100)
    found.refuse()
