"""A receiver of callbacks over HTTP, for development: it takes what is signed as it should be, and nothing else.

A delivery is handed on before it is answered, one at a time. Everything is bounded: connections, the size of a
request's head and body, and how long either may keep silent.
"""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Protocol

from standardwebhooks import Webhook, WebhookVerificationError

MAX_BODY_BYTES = 16 * 1024 * 1024
_MAX_CONNECTIONS = 16
_SILENCE_S = 10.0


@dataclass(frozen=True)
class Received:
    """A delivery whose signature is right."""

    id: str
    """The same each time it is sent."""
    attempt: str
    """Which one this is; empty if nothing says it."""
    body: dict[str, Any]


class Refused(Exception):
    """Why a request was not taken, and the status that it is answered with."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Listener(Protocol):
    """Who is told of what comes, in threads of the receiver, one thing at a time."""

    def take(self, delivery: Received) -> bool:
        """Whether it is taken; if not, the sender is asked to come again."""

    def taken(self) -> None:
        """A delivery that was taken is answered."""

    def refused(self, caller: str, refused: Refused) -> None:
        """A request of that caller, host:port, was not taken."""

    def failed(self, error: Exception) -> None:
        """One of these failed; the sender was told nothing."""


class HttpReceiver(ThreadingMixIn, TCPServer):
    """Listens once it is made, and answers while `serve_forever` runs."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, listener: Listener) -> None:
        """Raises OSError where it cannot listen."""
        self.webhook: Webhook | None = None
        """Checks signatures. None: nothing is taken yet."""
        self.listener = listener
        self.one_at_a_time = threading.Lock()
        self._room = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers that go away in the middle are no fault of ours."""


class _Handler(BaseHTTPRequestHandler):
    """One request of one connection: the answers are HTTP/1.0, so that each delivery has a connection of its own."""

    server: HttpReceiver
    server_version = "sendoff"
    sys_version = ""
    default_request_version = "HTTP/1.0"  # what is no request at all is answered with a status, too
    timeout = _SILENCE_S

    def do_POST(self) -> None:
        try:
            delivery = self._received()
        except Refused as refused:
            self._refuse(refused)
            return
        with self.server.one_at_a_time:
            if not self._told(delivery):
                return
            self._answer(204)
            self.server.listener.taken()

    def _told(self, delivery: Received) -> bool:
        """Whether it is to be answered as taken; otherwise it is answered, or the listener has failed."""
        try:
            is_taken = self.server.listener.take(delivery)
        except Exception as error:
            self.server.listener.failed(error)
            return False
        if not is_taken:
            self._answer(503)
        return is_taken

    def _received(self) -> Received:
        """Raises Refused."""
        body = self._body()
        if self.server.webhook is None:
            raise Refused(503, "there is no secret yet")
        try:
            self.server.webhook.verify(body, dict(self.headers), json_parse=False)
        except WebhookVerificationError as error:
            raise Refused(401, str(error)) from None
        except ValueError:
            raise Refused(401, "Malformed signature, or a body that is not UTF-8") from None
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise Refused(400, "the body is no JSON object")
        return Received(self.headers["webhook-id"], self.headers.get("sendoff-attempt", ""), told)

    def _body(self) -> bytes:
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()):
            raise Refused(411, "it does not say how long its body is")
        if len(length) > len(str(MAX_BODY_BYTES)) or int(length) > MAX_BODY_BYTES:
            raise Refused(413, f"its body has more than {MAX_BODY_BYTES} bytes")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise Refused(400, "its body is not whole")
        return body

    def _refuse(self, refused: Refused) -> None:
        with self.server.one_at_a_time:
            try:
                self.server.listener.refused("{}:{}".format(*self.client_address), refused)
            except Exception as error:
                self.server.listener.failed(error)
        self._answer(refused.status)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """What is worth telling is told to the listener."""
