"""What options of commands hold beside plain text."""

from __future__ import annotations

import json
from typing import Any

import typer


def labels(given: list[str] | None) -> dict[str, str]:
    """What `--label KEY=VALUE` says, given once or more."""
    found: dict[str, str] = {}
    for each in given or []:
        key, separator, value = each.partition("=")
        if not separator:
            raise typer.BadParameter(f"--label {each}: expected KEY=VALUE")
        found[key] = value
    return found


def json_object(option: str, text: str | None) -> dict[str, Any] | None:
    """What an option says that takes a JSON object; None if it is not given."""
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from error
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{option}: expected a JSON object")
    return value
