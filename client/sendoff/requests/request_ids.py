"""Names for requests."""

from __future__ import annotations

import uuid


def new_request_id() -> str:
    """A name for one request that no other has."""
    return str(uuid.uuid4())
