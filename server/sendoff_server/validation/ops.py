"""Rules of the requests of `OpsService`."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.validation.rules import check_size
from sendoff_server.validation.violations import Violations


def check_get_queue_stats(request: v1.GetQueueStatsRequest) -> None:
    found = Violations()
    check_size(found, "fairness_key", request.fairness_key, most=64)
    found.refuse()
