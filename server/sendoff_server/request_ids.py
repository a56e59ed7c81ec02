"""Ids that callers give their requests, so that a log line can be found by them."""

from __future__ import annotations

import re

REQUEST_ID = "x-request-id"
"""The header, or the metadata, that carries it; it means nothing but to whoever reads the log."""

_readable = re.compile(r"[\x21-\x7e]{1,128}").fullmatch


def request_id_of(told: str | bytes | None) -> str | None:
    """The id, if it is one: up to 128 visible ASCII characters. Others are passed over."""
    return told if isinstance(told, str) and _readable(told) else None
