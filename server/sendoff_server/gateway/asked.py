"""What a request asks: its body, its query, the ids in its path. Everything is bounded, and wrong values are named."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message
from starlette.requests import ClientDisconnect, Request

from sendoff import v1
from sendoff_server import ids
from sendoff_server.errors import InvalidRequest, RequestTooLarge, Violation
from sendoff_server.gateway.codec.reading import is_unicode, read
from sendoff_server.gateway.refusals import RefusedHere
from sendoff_server.validation.violations import Violations, quoted

BODY_TIMEOUT_S = 30.0
"""How long a caller may take to send a body."""
MAX_LIMIT = 1_000

_TRUE = frozenset({"true", "1", "yes", "on", "t", "y"})
_FALSE = frozenset({"false", "0", "no", "off", "f", "n"})

M = TypeVar("M", bound=Message)


class BodyTooSlow(RefusedHere):
    """The body did not come in time."""

    reason = "BODY_TOO_SLOW"
    http_status = 408
    retry_after_s = 1


class TooManyBodies(RefusedHere):
    """Bodies that are being sent take all the memory that there is for them."""

    reason = "TOO_MANY_BODIES"
    http_status = 503
    retry_after_s = 2


class CallerGone(RefusedHere):
    """The caller went away in the middle of his request. Nobody hears this."""

    reason = "CALLER_GONE"
    http_status = 499


class MalformedId(RefusedHere):
    """A run's id is looked at later than other ids, and refused with another status."""

    reason = "MALFORMED_ID"
    http_status = 400


class BodyRoom:
    """The memory for bodies that are on their way, of all callers together."""

    def __init__(self, most_bytes: int) -> None:
        self.left_bytes = most_bytes

    def take(self, more_bytes: int) -> None:
        """Raises TooManyBodies, and then takes nothing."""
        if more_bytes > self.left_bytes:
            raise TooManyBodies("callers are sending more at once than this server holds; send the request again")
        self.left_bytes -= more_bytes


async def body_of(request: Request) -> dict[str, Any]:
    """The body as a JSON object; an empty body is an empty object. Raises RequestTooLarge, InvalidRequest."""
    data = await bytes_of(request, request.app.state.most_body_bytes())
    if not data.strip():
        return {}
    try:
        told = json.loads(data, parse_constant=_no_constant, parse_float=_finite)
    except OverflowError:
        raise InvalidRequest([Violation("body", "holds a number that is too large")]) from None
    except (ValueError, RecursionError):
        raise _unreadable() from None
    if not isinstance(told, dict):
        raise InvalidRequest([Violation("body", "must be a JSON object")])
    if b"\\ud" in data or b"\\uD" in data:
        _check_is_text(told)
    return told


def _check_is_text(told: dict[str, Any]) -> None:
    """JSON can escape half a surrogate pair, which is no text. Raises InvalidRequest with its place."""
    waiting: list[tuple[str, Any]] = [("", told)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{place}.{name}" if place else name, each) for name, each in value.items()]
            waiting += [(place, name) for name in value]
        elif isinstance(value, list):
            waiting += [(f"{place}[{index}]", each) for index, each in enumerate(value)]
        elif isinstance(value, str) and not is_unicode(value):
            raise InvalidRequest([Violation(place or "body", "holds half a surrogate pair, which is no text")])


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise OverflowError
    return number


async def bytes_of(request: Request, most_bytes: int) -> bytes:
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most_bytes:
        raise RequestTooLarge(int(length), most_bytes)
    data, room = bytearray(), request.app.state.body_room
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                room.take(len(chunk))
                data += chunk
                if len(data) > most_bytes:
                    raise RequestTooLarge(len(data), most_bytes)
    except ClientDisconnect:
        raise CallerGone("the caller went away before his request was whole") from None
    except TimeoutError:
        raise BodyTooSlow(f"the body did not come within {BODY_TIMEOUT_S:.0f} s") from None
    finally:
        room.left_bytes += len(data)
    return bytes(data)


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _unreadable() -> InvalidRequest:
    return InvalidRequest([Violation("body", "is not valid JSON in UTF-8")])


def message_of(kind: type[M], body: Mapping[str, Any]) -> M:
    """The body as a message of the contract. Raises InvalidRequest with every violation of its shape."""
    message, found = kind(), Violations()
    read(message, dict(body), "", found)
    found.refuse()
    return message


def queried(kind: type[M], request: Request, **told: str) -> M:
    """The query as a message of the contract; members of lists are repeated. Raises InvalidRequest."""
    query = request.query_params
    members: dict[str, Any] = {}
    for field in kind.DESCRIPTOR.fields:
        if field.name in query:
            members[field.name] = query.getlist(field.name) if field.is_repeated else query[field.name]
    return message_of(kind, {**members, **told})


# ---- ids ----

_PREFIXES = ("agent", "run", "conv", "step", "tool", "block", "message", "file", "endpoint", "delivery")
_PATTERNS = {prefix: ids.pattern(prefix) for prefix in _PREFIXES}


def is_id(value: str, prefix: str) -> bool:
    return bool(_PATTERNS[prefix].fullmatch(value))


def path_id(request: Request, name: str, prefix: str) -> str:
    """An id in the path. Raises InvalidRequest, or MalformedId for a run's."""
    value = str(request.path_params[name])
    if is_id(value, prefix):
        return value
    told = f"must be {prefix}-<uuid4> in lower case, is {quoted(value)}"
    if prefix == "run":
        raise MalformedId(f"{name}: {told}")
    raise InvalidRequest([Violation(name, told)])


# ---- flags of a body that are the door's own ----


def flag(body: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """Raises InvalidRequest."""
    value = body.get(name)
    if value is None:
        return default
    word = str(value).lower()
    if word not in _TRUE | _FALSE:
        raise InvalidRequest([Violation(name, "must be true or false")])
    return word in _TRUE


# ---- query ----


class Query:
    """The query of a request; unknown names are ignored."""

    def __init__(self, request: Request) -> None:
        self._items = request.query_params.multi_items()
        self._found = Violations()

    def text(self, name: str) -> str | None:
        return next((value for key, value in self._items if key == name), None)

    def texts(self, *names: str) -> list[str]:
        """All values under one of these names, as arrays come."""
        return [value for key, value in self._items if key in names]

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        value = self.text(name)
        if value is None:
            return default
        if value not in choices:
            self._found.add(name, f"must be one of {', '.join(choices)}, is {quoted(value)}")
        return value

    def flag(self, name: str) -> bool | None:
        value = self.text(name)
        if value is None or value == "":
            return None
        if value.lower() not in _TRUE | _FALSE:
            self._found.add(name, f"must be true or false, is {quoted(value)}")
        return value.lower() in _TRUE

    def limit(self, default: int) -> int:
        value = self.text("limit")
        if value is None or value == "":
            return default
        number = int(value) if re.fullmatch(r"[0-9]{1,9}", value) else 0
        if not 1 <= number <= MAX_LIMIT:
            self._found.add("limit", f"must be between 1 and {MAX_LIMIT}, is {quoted(value)}")
        return number

    def an_id(self, name: str, prefix: str) -> str | None:
        value = self.text(name)
        if value is not None and not _PATTERNS[prefix].fullmatch(value):
            self._found.add(name, f"must be {prefix}-<uuid4> in lower case, is {quoted(value)}")
        return value

    def message_types(self, name: str) -> list[v1.MessageType.ValueType]:
        told: list[v1.MessageType.ValueType] = []
        for value in self.texts(name, f"{name}[]"):
            try:
                told.append(v1.MessageType.Value(f"MESSAGE_TYPE_{value.upper()}"))
            except ValueError:
                self._found.add(name, f"is no message type: {quoted(value)}")
        return told

    def checked(self) -> None:
        """Raises InvalidRequest with all that was wrong so far."""
        self._found.refuse()
