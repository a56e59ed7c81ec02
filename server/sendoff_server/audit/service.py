"""What operators can ask of the audit. Both doors call this; messages of `sendoff.v1` go in and out."""

from __future__ import annotations

from sendoff import v1
from sendoff_server import validation
from sendoff_server.clock import nanoseconds
from sendoff_server.paging import Page
from sendoff_server.store.port import Store

DEFAULT_PAGE = 50
LOOKED_AT = 5_000
"""Entries that one page looks through."""
_AT_ONCE = 500
_BEHIND_ALL = "b"
"""Every id of an entry comes before it."""


class AuditService:
    """The use cases of the audit."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(self, tenant: str, request: v1.ListAuditEntriesRequest) -> v1.ListAuditEntriesResponse:
        validation.check_list_audit_entries(request)
        page = Page(request, DEFAULT_PAGE)
        before = page.after[1] if page.after else _BEHIND_ALL
        found: list[v1.AuditEntry] = []
        for _ in range(LOOKED_AT // _AT_ONCE):
            entries = await self._store.audit_entries(tenant, before, _AT_ONCE)
            for entry in entries:
                before = entry.id
                if _fits(entry, request):
                    found.append(entry)
                    if len(found) == page.limit:
                        return _page(found, page.token((0, before)))
            if len(entries) < _AT_ONCE:
                return _page(found, "")
        return _page(found, page.token((0, before)))


def _page(entries: list[v1.AuditEntry], token: str) -> v1.ListAuditEntriesResponse:
    return v1.ListAuditEntriesResponse(entries=entries, next_page_token=token)


def _fits(entry: v1.AuditEntry, request: v1.ListAuditEntriesRequest) -> bool:
    time_ns = nanoseconds(entry.create_time)
    return (
        (not request.HasField("start_time") or time_ns >= nanoseconds(request.start_time))
        and (not request.HasField("end_time") or time_ns < nanoseconds(request.end_time))
        and request.key_id in ("", entry.key_id)
        and request.method in ("", entry.method)
        and request.outcome in ("", entry.outcome)
        and (not request.resource_id or request.resource_id in entry.resource_ids)
    )
