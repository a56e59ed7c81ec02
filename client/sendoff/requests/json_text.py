"""JSON as the contract has it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sendoff import v1


def json_object(value: Mapping[str, Any] | None) -> v1.JsonObject | None:
    """As text. Raises TypeError or ValueError for what JSON cannot hold."""
    if value is None:
        return None
    return v1.JsonObject(json=json.dumps(dict(value), ensure_ascii=False, allow_nan=False))
