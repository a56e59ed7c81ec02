"""One connection of the REST door, guarded: callers who are slow, endless or malformed are told so, and cut.

The HTTP server bounds neither how long a request's head may take nor how large it may be, and waits for ever for
callers who do not read. Here a head has a time and a size, an answer that nobody reads has a time, and more connections
than there is room for are told to come back. What the guard refuses looks like every other refusal of this door.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from sendoff_server.tls.names import names_in

CALLER_NAMES = "sendoff.caller_names"
"""In a request's scope: whom the caller's certificate is for."""

SPARE_CONNECTIONS = 64
"""So many more than there is room for are told that there is none; those beyond are cut without a word."""
LINGER_S = 2.0
"""How long a caller who was refused may go on sending; closing over what still comes would lose him the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one caller, or all of them together, may take."""

    connections: int = 900
    """Open at once."""
    head_s: float = 20.0
    """From a connection's beginning, or a request's first byte, to the end of the request's head. What is left of a
    body that was refused has as long."""
    head_bytes: int = 64 * 1024
    """Method, path, query and headers."""
    unread_s: float = 30.0
    """How long a caller may leave an answer, or an event of a stream, unread."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: HTTPStatus
    reason: str
    detail: str
    retry_after_s: int | None = None

    def head_and_body(self) -> bytes:
        body = json.dumps({"detail": self.detail, "reason": self.reason}, separators=(",", ":")).encode()
        again = f"retry-after: {self.retry_after_s}" if self.retry_after_s is not None else "x-should-retry: false"
        lines = (
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
            again,
        )
        return "\r\n".join((*lines, "", "")).encode("ascii") + body


_MALFORMED = _Refusal(HTTPStatus.BAD_REQUEST, "MALFORMED_HTTP", "this is not HTTP/1.1, or it is damaged")
_HEAD_TOO_SLOW = _Refusal(
    HTTPStatus.REQUEST_TIMEOUT, "HEAD_TOO_SLOW", "the head of the request did not come in time", retry_after_s=1
)
_NO_ROOM = _Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "TOO_MANY_CONNECTIONS",
    "this server has as many connections as it may; close some, and send the request again",
    retry_after_s=5,
)


def _head_too_large(most_bytes: int) -> _Refusal:
    told = f"path, query and headers have more than {most_bytes} bytes; send what is long in the body"
    return _Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "HEAD_TOO_LARGE", told)


class Refused(Exception):
    """Ends the parsing of a request; the parser tells it as an error of its own."""


class GuardedConnection(HttpToolsProtocol):
    """What the HTTP server makes for each connection."""

    def __init__(self, *, limits: Limits, **of_the_server: Any) -> None:
        super().__init__(**of_the_server)
        self._limits = limits
        self._in_head = False
        self._head_bytes = 0
        """Of a head that goes over several pieces of what comes in; those of the piece that it began in count as well
        if no other request ended there."""
        self._ended_here = False
        self._refusal = _MALFORMED
        """What is told if the parser gives up."""
        self._asked: deque[RequestResponseCycle] = deque()
        """Requests that have no whole answer yet, oldest first; more than one if the caller does not wait."""
        self._is_over = False
        """All was told; what still comes is not looked at."""
        self._caller_names: tuple[str, ...] = ()
        self._head_alarm: asyncio.TimerHandle | None = None
        self._unread_alarm: asyncio.TimerHandle | None = None

    # ---- the connection ----

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its base has it
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections + SPARE_CONNECTIONS:
            transport.abort()
            return
        self._caller_names = _names_of_peer(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        self._was_read()
        self._forget()
        super().connection_lost(exc)

    def _forget(self) -> None:
        """Have those who answer know that nobody hears them. The server tells it to the newest only."""
        for cycle in self._asked:
            cycle.disconnected = True
            cycle.message_event.set()
        self._asked.clear()

    # ---- what comes in ----

    def data_received(self, data: bytes) -> None:
        if self._is_over or self.transport.is_closing():
            return
        if self._head_alarm is None and not self._asked:
            self._expect_head()
        self._ended_here = False
        super().data_received(data)
        if self._in_head and not self._ended_here:
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.head_bytes:
                self._refuse(_head_too_large(self._limits.head_bytes))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast(dict[str, Any], self.scope)[CALLER_NAMES] = self._caller_names
        self._in_head, self._head_bytes = True, 0

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._ended_here = True

    def on_headers_complete(self) -> None:
        head_bytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if head_bytes > self._limits.head_bytes:
            self._refusal = _head_too_large(self._limits.head_bytes)
            raise Refused
        if self.cycle is None and len(self.connections) > self._limits.connections:
            self._refusal = _NO_ROOM
            raise Refused
        self._in_head = False
        self._head_came()
        super().on_headers_complete()
        self._asked.append(self.cycle)

    def _expect_head(self) -> None:
        self._head_alarm = self.loop.call_later(self._limits.head_s, self._head_overdue)

    def _head_came(self) -> None:
        if self._head_alarm is not None:
            self._head_alarm.cancel()
            self._head_alarm = None

    def _head_overdue(self) -> None:
        if self._in_head:
            self._refuse(_HEAD_TOO_SLOW)
        else:
            self._close()

    # ---- what goes out ----

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refusal)

    def _refuse(self, refusal: _Refusal) -> None:
        """Tell it, if nothing else is being told on this connection, and close."""
        if self._is_over or self.transport.is_closing():
            return
        self._head_came()
        if len(self._asked) > 1 or any(cycle.response_started for cycle in self._asked):
            self._close()
            return
        self._forget()
        self._is_over = True
        self.transport.write(refusal.head_and_body())
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._unread_alarm = self.loop.call_later(LINGER_S, self.transport.abort)

    def _close(self) -> None:
        self.transport.close()
        self._wait_for_reader()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._was_read()

    def on_response_complete(self) -> None:
        if self._asked:
            self._asked.popleft()
        super().on_response_complete()
        if self.transport.is_closing():
            self._wait_for_reader()

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def _wait_for_reader(self) -> None:
        """A transport that is closed still waits, for ever, for what it holds to be read."""
        if self._unread_alarm is None:
            self._unread_alarm = self.loop.call_later(self._limits.unread_s, self.transport.abort)

    def _was_read(self) -> None:
        if self._unread_alarm is not None:
            self._unread_alarm.cancel()
            self._unread_alarm = None


def _names_of_peer(transport: asyncio.Transport) -> tuple[str, ...]:
    """Whom the certificate is for that the caller has proven to have; empty: he was not asked for one."""
    tls = transport.get_extra_info("ssl_object")
    shown = tls.getpeercert(binary_form=True) if tls is not None else None
    return names_in(shown) if shown else ()
