"""What a call's metadata tells about its caller."""

from __future__ import annotations

from dataclasses import replace

from sendoff_server.access.gate import Credentials
from sendoff_server.api.status import Context
from sendoff_server.errors import InvalidRequest, Violation
from sendoff_server.request_ids import REQUEST_ID, request_id_of
from sendoff_server.tls.names import names_in
from sendoff_server.validation import IDEMPOTENCY_KEY, check_idempotency_key

_NO_CREDENTIALS = Credentials()
REPLAYED = (("idempotency-replayed", "true"),)
"""Header of an answer to a request that was accepted before."""


def credentials(context: Context) -> Credentials:
    """What the call brought to tell who makes it."""
    found = [str(value) for key, value in context.invocation_metadata() or () if key == "authorization"]
    return Credentials(",".join(found)) if found else _NO_CREDENTIALS


def proven_credentials(context: Context) -> Credentials:
    """The same, with what the connection has proven; where callers show certificates."""
    shown = next(iter(context.auth_context().get("x509_pem_cert", ())), None)
    return replace(credentials(context), certificate_names=names_in(shown) if shown else ())


def request_id(context: Context) -> str | None:
    """What the caller calls this request; None for nothing that can be told."""
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID:
            return request_id_of(value)
    return None


def idempotency_key(context: Context) -> str | None:
    """The key sent beside the request; None for none. Raises InvalidRequest for a bad one, or two that differ."""
    found = {str(value) for key, value in context.invocation_metadata() or () if key == IDEMPOTENCY_KEY}
    if not found:
        return None
    if len(found) > 1:
        raise InvalidRequest([Violation(IDEMPOTENCY_KEY, "was sent twice with different values")])
    key = found.pop()
    check_idempotency_key(key)
    return key
