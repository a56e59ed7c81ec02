"""Who did what."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.gateway.description.forms import Described, Table, noun
from sendoff_server.gateway.description.queries import query_of


def table() -> Table:
    query = query_of(v1.ListAuditEntriesRequest.DESCRIPTOR)
    return {("GET", "/v1/audit-entries"): Described(query=query, answers=noun("AuditEntries"))}
