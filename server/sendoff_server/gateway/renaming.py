"""Refusals that name a field of the contract, told with the name that the caller knows it by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sendoff_server.errors import InvalidRequest, Unsupported, Violation


@contextmanager
def told_as(names: Mapping[str, str]) -> Iterator[None]:
    """Inside, fields with these names, or below them, are refused with the others: {"block.value": "value"}. An empty
    name leaves what stands below it: {"block": ""}."""
    try:
        yield
    except (InvalidRequest, Unsupported) as error:
        told = [Violation(_renamed(each.field, names), each.description) for each in error.violations]
        raise type(error)(told) from None


def _renamed(field: str, names: Mapping[str, str]) -> str:
    for known, told in names.items():
        if field == known or field.startswith((f"{known}.", f"{known}[")):
            return (told + field[len(known) :]).removeprefix(".") or field
    return field
