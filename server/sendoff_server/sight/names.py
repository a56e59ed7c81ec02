"""The contract's values, as labels and log lines tell them."""

from __future__ import annotations

from functools import cache
from typing import Any, Protocol


class Enum(Protocol):
    """An enum of the contract."""

    def Name(self, number: Any) -> str: ...  # as the library calls it


@cache
def name_of(enum: Enum, value: int) -> str:
    """`completed` of RUN_STATUS_COMPLETED."""
    prefix = enum.Name(0).removesuffix("UNSPECIFIED")
    return enum.Name(value).removeprefix(prefix).lower()
