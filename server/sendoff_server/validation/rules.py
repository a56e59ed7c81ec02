"""The kinds of rules that stand in the contract's comments, one function for each.

Each adds a violation of `path` when `value` breaks the rule. Lengths count Unicode code points, sizes bytes of UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from urllib.parse import urlsplit

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server import ids
from sendoff_server.validation.limits import MAX_TAGS
from sendoff_server.validation.violations import Violations, quoted

AGENT_ID = ids.pattern("agent")
RUN_ID = ids.pattern("run")
CONVERSATION_ID = ids.pattern("conv")
MESSAGE_ID = ids.pattern("message")
BLOCK_ID = ids.pattern("block")
STEP_ID = ids.pattern("step")
FILE_ID = ids.pattern("file")
TOOL_ID = ids.pattern("tool")
ENDPOINT_ID = ids.pattern("endpoint")
DELIVERY_ID = ids.pattern("delivery")
MESSAGE_ORDERS = ("", "position", "position asc", "position desc")
"""What order_by may be in lists of messages."""
_BAD_IN_URL = re.compile(r"[\x00-\x20\x7f]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BYTES_PER_CHARACTER = 4
_TAG_CHARACTERS = 255
_NANOSECONDS = 1_000_000_000
_YEAR_1_S = -62_135_596_800
_YEAR_10000_S = 253_402_300_800


def check_id(found: Violations, path: str, value: str, pattern: re.Pattern[str]) -> None:
    """`pattern` is one of this module's, or from `ids.pattern`."""
    if not pattern.fullmatch(value):
        prefix = pattern.pattern.partition("-")[0]
        found.add(path, f"must be an id like {prefix}-00000000-0000-4000-8000-000000000000, is {quoted(value)}")


def check_message_bounds(found: Violations, request: v1.ListMessagesRequest | v1.ListRunMessagesRequest) -> None:
    """The messages between which a list is told."""
    for name in ("newer_than_message_id", "older_than_message_id"):
        if request.HasField(name):
            check_id(found, name, getattr(request, name), MESSAGE_ID)


def check_conversation_id(found: Violations, path: str, value: str) -> None:
    if value != "default":
        check_id(found, path, value, CONVERSATION_ID)


def check_length(found: Violations, path: str, value: str, *, least: int = 0, most: int) -> None:
    length = len(value)
    if length < least:
        found.add(path, "must not be empty")
    elif length > most:
        found.add(path, f"must have at most {most} characters, has {length}")


def check_size(found: Violations, path: str, value: str, *, least: int = 0, most: int) -> None:
    if len(value) < least:
        found.add(path, "must not be empty")
    elif len(value) * _BYTES_PER_CHARACTER > most and (size := len(value.encode())) > most:
        found.add(path, f"must have at most {most} bytes, has {size}")


def check_no_control_characters(found: Violations, path: str, value: str) -> None:
    if _CONTROL.search(value):
        found.add(path, "must not have control characters")


def check_items(found: Violations, path: str, count: int, *, least: int = 0, most: int) -> bool:
    """Whether the items are worth looking at: not when they are too many."""
    if count < least:
        found.add(path, "must not be empty")
    elif count > most:
        found.add(path, f"must have at most {most} items, has {count}")
    return count <= most


def check_tags(found: Violations, path: str, tags: Sequence[str]) -> None:
    if check_items(found, path, len(tags), most=MAX_TAGS):
        for index, tag in enumerate(tags):
            check_length(found, f"{path}[{index}]", tag, most=_TAG_CHARACTERS)


def check_number(found: Violations, path: str, value: int, *, least: int, most: int | None = None) -> None:
    if value < least:
        found.add(path, f"must be at least {least}, is {value}")
    elif most is not None and value > most:
        found.add(path, f"must be at most {most}, is {value}")


def check_range(
    found: Violations,
    path: str,
    value: float,
    *,
    most: float,
    least: float | None = None,
    above: float | None = None,
) -> None:
    """What is no number is in no range."""
    if least is not None and not value >= least:
        found.add(path, f"must be at least {least:g}, is {value:g}")
    elif above is not None and not value > above:
        found.add(path, f"must be more than {above:g}, is {value:g}")
    elif not value <= most:
        found.add(path, f"must be at most {most:g}, is {value:g}")


def check_choice(found: Violations, path: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        told = ", ".join(repr(choice) for choice in choices if choice)
        found.add(path, f"must be one of {told}; is {quoted(value)}")


def check_enum(found: Violations, path: str, value: int, defined: Container[int]) -> None:
    """`defined`: the enum's numbers without 0."""
    if value == 0:
        found.add(path, "must be told")
    elif value not in defined:
        found.add(path, f"has no value {value}")


def check_duration(
    found: Violations,
    path: str,
    value: Duration,
    *,
    least_s: int | None = None,
    above_s: int | None = None,
    most_s: int | None = None,
) -> None:
    span_ns = value.seconds * _NANOSECONDS + value.nanos
    if abs(value.nanos) >= _NANOSECONDS or value.seconds * value.nanos < 0:
        found.add(path, "is not a duration: nanos must be below one second and have the sign of seconds")
    elif least_s is not None and span_ns < least_s * _NANOSECONDS:
        found.add(path, f"must be at least {least_s} s")
    elif above_s is not None and span_ns <= above_s * _NANOSECONDS:
        found.add(path, f"must be more than {above_s} s")
    elif most_s is not None and span_ns > most_s * _NANOSECONDS:
        found.add(path, f"must be at most {most_s} s")


def check_time(found: Violations, path: str, value: Timestamp) -> None:
    if not (0 <= value.nanos < _NANOSECONDS and _YEAR_1_S <= value.seconds < _YEAR_10000_S):
        found.add(path, "is not a time: nanos must be from 0 to 999,999,999, and the year from 1 to 9999")


def check_url(found: Violations, path: str, value: str, schemes: Sequence[str], *, most: int) -> None:
    """An absolute URL of one of the schemes; those other than data name a host."""
    check_size(found, path, value, least=1, most=most)
    if value and not _is_url(value, schemes):
        found.add(path, f"must be an absolute {' or '.join(schemes)} URL, is {quoted(value)}")


def _is_url(value: str, schemes: Sequence[str]) -> bool:
    if _BAD_IN_URL.search(value):
        return False
    scheme = value.partition(":")[0].lower()
    if scheme not in schemes:
        return False
    if scheme == "data":
        return "," in value
    try:
        parts = urlsplit(value)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a broken host or port
        return False
