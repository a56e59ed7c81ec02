"""What callers are told of themselves."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.access.principal import acting


def told_to_caller(info: v1.GetServerInfoResponse) -> v1.GetServerInfoResponse:
    """What the server is, with who is asking."""
    principal = acting()
    told = v1.GetServerInfoResponse()
    told.CopyFrom(info)
    told.caller.CopyFrom(
        v1.Caller(
            tenant=principal.tenant,
            role=str(principal.role or ""),
            key_id=principal.key_id,
            key_name=principal.name,
        )
    )
    return told
