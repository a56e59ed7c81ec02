"""Who did what: beyond the API, with the contract's names."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from sendoff import v1
from sendoff_server.access.principal import acting
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.asked import queried
from sendoff_server.gateway.codec.writing import written
from sendoff_server.gateway.doors import Table
from sendoff_server.use_cases import UseCases


async def list_entries(use_cases: UseCases, request: Request) -> Response:
    """GET /v1/audit-entries: newest first, by pages of `page_size`; `page_token` is from the page before"""
    return answer(written(await use_cases.audit.list(acting().tenant, queried(v1.ListAuditEntriesRequest, request))))


TABLE: Table = (("GET", "/v1/audit-entries", list_entries),)
