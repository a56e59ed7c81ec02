"""What options of commands hold beside plain text."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeAlias

import typer
from google.protobuf.timestamp_pb2 import Timestamp

EventType: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--event",
        help="run.started, run.action_required or run.finished; may be given again; unset: the last two.",
    ),
]


def labels(given: list[str] | None) -> dict[str, str]:
    """What `--label KEY=VALUE` says, given once or more."""
    return key_values("--label", given)


def key_values(option: str, given: list[str] | None) -> dict[str, str]:
    """What an option says that takes KEY=VALUE, given once or more."""
    found: dict[str, str] = {}
    for each in given or []:
        key, separator, value = each.partition("=")
        if not separator:
            raise typer.BadParameter(f"{option} {each}: expected KEY=VALUE")
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


_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def span_s(option: str, text: str) -> float:
    """How many seconds an option says, as 90s, 30m, 24h or 7d."""
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd])", text)
    if found is None:
        raise typer.BadParameter(f"{option} {text}: expected a span as 90s, 30m, 24h or 7d")
    return float(found[1]) * _UNITS_S[found[2]]


def moment_or_span(option: str, text: str, now: datetime, *, ahead: bool = False) -> Timestamp:
    """The moment that an option says, or that lies so long back, or ahead; without a zone it is UTC."""
    told = Timestamp()
    try:
        moment = datetime.fromisoformat(text)
        told.FromDatetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except ValueError:
        span = timedelta(seconds=span_s(option, text))
        told.FromDatetime(now + span if ahead else now - span)
    return told
