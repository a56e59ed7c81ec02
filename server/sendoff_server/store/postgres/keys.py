"""Idempotency keys of what is created: two columns each."""

from __future__ import annotations

from sendoff_server.store.items import Key

KeyColumns = tuple[str | None, bytes | None]
"""Scope and value."""


def key_columns(key: Key | None) -> KeyColumns:
    return (key.scope, key.value.encode()) if key is not None else (None, None)
