"""Reads the arguments of a built-in tool's call.

The loop has held them against the tool's schema; what a schema cannot say is told here, in words for the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class ArgumentsRefused(Exception):
    """The arguments cannot be used; the message says why."""


def text(arguments: Mapping[str, Any], name: str) -> str:
    """Raises ArgumentsRefused."""
    value = arguments.get(name)
    if not isinstance(value, str):
        raise ArgumentsRefused(f"{name} must be a text.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ArgumentsRefused(f"{name} has half of a surrogate pair, which is not a character.") from None
    return value


def whole_number(arguments: Mapping[str, Any], name: str, default: int) -> int:
    """Raises ArgumentsRefused. A null is as if it were not given; 2.0 is a whole number, as in JSON Schema."""
    value = arguments.get(name)
    if value is None:
        return default
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise ArgumentsRefused(f"{name} must be a whole number.")


def choices(arguments: Mapping[str, Any], name: str, allowed: Sequence[str]) -> frozenset[str]:
    """All that are allowed when none is given. Raises ArgumentsRefused."""
    value = arguments.get(name)
    if value is None or value == []:
        return frozenset(allowed)
    if not isinstance(value, list) or not all(isinstance(each, str) and each in allowed for each in value):
        raise ArgumentsRefused(f"{name} must be a list of some of {', '.join(allowed)}.")
    return frozenset(value)
