"""`sendoff callbacks listen`: what is signed is shown and answered, and nothing else; what was made is deleted."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from sendoff import methods, v1
from sendoff.cli import http_receiver
from sendoff.cli.exits import ExitCode
from sendoff.cli.http_receiver import HttpReceiver, Received, Refused
from tests.unit.client.commanding import Command, Outcome
from tests.unit.client.scripted_server import AGENT_ID, RUN_ID, Context, ScriptedServer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENDPOINT_ID = "endpoint-00000000-0000-4000-8000-000000000001"
DATA = {"run_id": RUN_ID, "status": "completed", "stop_reason": "end_turn"}
ENVELOPE = {"type": "run.finished", "timestamp": "2026-03-04T10:15:00Z", "data": DATA}
PATIENCE_S = 20.0


def signed(body: bytes, *, secret: str = SECRET, id: str = "delivery-1", ago_s: float = 0) -> dict[str, str]:
    moment = datetime.now(UTC) - timedelta(seconds=ago_s)
    signature = Webhook(secret).sign(id, moment, body.decode())
    return {"webhook-id": id, "webhook-timestamp": str(int(moment.timestamp())), "webhook-signature": signature}


async def send(url: str, told: Any = ENVELOPE, **headers: str) -> int:
    """The status that a delivery is answered with."""
    body = json.dumps(told).encode()
    async with httpx.AsyncClient(timeout=PATIENCE_S) as http:
        return (await http.post(url, content=body, headers={**signed(body), **headers})).status_code


@pytest.fixture
async def url(server: ScriptedServer) -> asyncio.Future[str]:
    """Where the endpoint that the command makes wants to be called."""
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def create(request: v1.CreateEndpointRequest, context: Context) -> v1.CreateEndpointResponse:
        told.set_result(request.endpoint.url)
        return v1.CreateEndpointResponse(endpoint=v1.CallbackEndpoint(id=ENDPOINT_ID), secret=SECRET)

    server.plan(methods.CREATE_ENDPOINT, create)
    server.plan(methods.DELETE_ENDPOINT, v1.DeleteEndpointResponse())
    return told


@asynccontextmanager
async def listening(command: Awaitable[Outcome]) -> AsyncIterator[asyncio.Future[Outcome]]:
    async with asyncio.timeout(PATIENCE_S):
        yield asyncio.ensure_future(command)


# ---- the command ----


async def test_deliveries_are_shown_answered_and_counted(
    command: Command, server: ScriptedServer, url: asyncio.Future[str]
) -> None:
    said = [{"message_type": "assistant_message", "content": "Ahoy!\nAnd bye."}]
    whole = {**ENVELOPE, "data": {**DATA, "result": {"messages": said}}}
    wanted = ("--agent", AGENT_ID, "--event", "run.finished", "--count", "3")

    async with listening(command("callbacks", "listen", *wanted)) as outcome:
        forged = await send(await url, **{"webhook-signature": "v1,AAAA"})
        statuses = [await send(await url, told, **{"sendoff-attempt": "2"}) for told in (whole, ENVELOPE)]
        letta = {"run_id": RUN_ID, "status": "failed", "metadata": {"error": "x"}}
        statuses.append(await send(await url, letta))
        ended = await outcome

    assert (forged, statuses, ended.exit_code) == (401, [204, 204, 204], ExitCode.OK)
    headline = f"run.finished  {RUN_ID}  completed  end_turn  (verified, attempt 2, delivery-1)"
    plain = f"callback  {RUN_ID}  failed  (verified, delivery-1)"
    assert ended.stdout.splitlines() == [headline, "  Ahoy!", "  And bye.", headline, plain]
    assert "NOT VERIFIED, answered 401: No matching signature found" in ended.stderr
    assert f"Deleted {ENDPOINT_ID}" in ended.stderr
    (made,) = server.asked(v1.CreateEndpointRequest)
    assert (made.endpoint.agent_id, made.endpoint.event_types, made.endpoint.include_run) == (
        AGENT_ID,
        ["run.finished"],
        True,
    )
    assert server.asked(v1.DeleteEndpointRequest) == [v1.DeleteEndpointRequest(endpoint_id=ENDPOINT_ID)]


async def test_as_json_each_delivery_is_one_line(command: Command, url: asyncio.Future[str]) -> None:
    async with listening(command("callbacks", "listen", "--count", "1", "--json")) as outcome:
        await send(await url, **{"sendoff-attempt": "1"})
        ended = await outcome

    told = {"webhook_id": "delivery-1", "attempt": "1", "body": ENVELOPE}
    assert [json.loads(line) for line in ended.stdout.splitlines()] == [told]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
async def test_when_it_is_stopped_the_endpoint_that_it_made_is_deleted(
    server: ScriptedServer, url: asyncio.Future[str], stop: signal.Signals
) -> None:
    async with program("--address", server.address, "callbacks", "listen") as process:
        assert await send(await url) == 204
        process.send_signal(stop)
        printed, complaints = await process.communicate()

    assert process.returncode == ExitCode.INTERRUPTED, complaints.decode()
    assert printed.decode().startswith(f"run.finished  {RUN_ID}")
    assert len(server.asked(v1.DeleteEndpointRequest)) == 1
    assert b"Traceback" not in complaints


async def test_with_a_secret_no_server_is_needed(server: ScriptedServer) -> None:
    async with program("--address", server.address, "callbacks", "listen", "--count", "1", secret=SECRET) as process:
        assert process.stderr is not None
        (address,) = re.findall(r"http://127\.0\.0\.1:\d+/", (await process.stderr.readline()).decode())
        assert await send(address, {"type": "endpoint.test", "data": {"endpoint_id": "e"}}) == 204
        printed, _ = await process.communicate()

    assert printed == b"endpoint.test  e  (verified, delivery-1)\n"
    assert (process.returncode, server.requests) == (ExitCode.OK, [])


@asynccontextmanager
async def program(*words: str, secret: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
    """The command as a program of its own, which signals can be sent to."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sendoff",
        *words,
        env={**os.environ, "SENDOFF_CALLBACK_SECRET": secret, "SENDOFF_API_KEY": ""},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


# ---- what it takes ----


class Notes:
    """Notes what it is told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.took: list[Received] = []
        self.refusals: list[int] = []
        self.errors: list[Exception] = []
        self.wants_more = True
        self._error = error

    def take(self, delivery: Received) -> bool:
        if self._error is not None:
            raise self._error
        self.took.append(delivery)
        return self.wants_more

    def taken(self) -> None:
        pass

    def refused(self, caller: str, refused: Refused) -> None:
        self.refusals.append(refused.status)

    def failed(self, error: Exception) -> None:
        self.errors.append(error)


@contextmanager
def receiving(notes: Notes, secret: str | None = SECRET) -> Iterator[str]:
    with HttpReceiver("127.0.0.1", 0, notes) as receiver:
        receiver.webhook = None if secret is None else Webhook(secret)
        serving = threading.Thread(target=receiver.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield f"http://127.0.0.1:{receiver.port}/"
        finally:
            receiver.shutdown()
            serving.join()


BODY = json.dumps(ENVELOPE).encode()


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (401, BODY, dict),
        (401, BODY, lambda: signed(BODY, secret="whsec_AAAA")),
        (401, BODY, lambda: signed(BODY, ago_s=301)),
        (401, BODY, lambda: signed(BODY, ago_s=-330)),
        (401, BODY + b" ", lambda: signed(BODY)),
        (401, BODY, lambda: {**signed(BODY), "webhook-id": "another"}),
        (401, BODY, lambda: {**signed(BODY), "webhook-signature": "nonsense"}),
        (401, b"\xff", lambda: signed(BODY)),
        (400, b"{", lambda: signed(b"{")),
        (400, b"[]", lambda: signed(b"[]")),
        (400, b"[" * 100_000, lambda: signed(b"[" * 100_000)),
        (411, b"", lambda: {"content-length": "-1"}),
        (413, b"", lambda: {"content-length": str(http_receiver.MAX_BODY_BYTES + 1)}),
        (413, b"", lambda: {"content-length": "9" * 100}),
    ],
)
async def test_what_is_not_signed_or_no_delivery_is_refused(
    status: int, body: bytes, headers: Callable[[], dict[str, str]]
) -> None:
    """Signed when it is sent: signatures are taken for five minutes around their time."""
    notes = Notes()
    with receiving(notes) as url:
        head = {"content-length": str(len(body)), **headers()}
        lines = [f"{name}: {value}" for name, value in head.items()]
        told = await say(url, "\r\n".join(["POST / HTTP/1.1", *lines, "", ""]).encode() + body)

    assert told.startswith(f"HTTP/1.0 {status} ".encode())
    assert (notes.took, notes.refusals) == ([], [status])


@pytest.mark.parametrize(
    ("status", "data"),
    [
        (400, b"nonsense\r\n\r\n"),
        (400, b"POST / HTTP/9\r\n\r\n"),
        (501, b"GET / HTTP/1.1\r\n\r\n"),
        (414, b"POST /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n"),
        (431, b"POST / HTTP/1.1\r\nx: " + b"a" * 70_000 + b"\r\n\r\n"),
        (431, b"POST / HTTP/1.1\r\n" + b"x: y\r\n" * 200 + b"\r\n"),
    ],
)
async def test_what_is_no_request_of_a_sender_is_answered(status: int, data: bytes) -> None:
    notes = Notes()
    with receiving(notes) as url:
        assert f" {status} ".encode() in (await say(url, data)).partition(b"\n")[0]
        assert await send(url) == 204

    assert len(notes.took) == 1


async def test_before_there_is_a_secret_and_after_enough_has_come_senders_are_to_come_again() -> None:
    notes = Notes()
    with receiving(notes, None) as url:
        assert await send(url) == 503
    notes.wants_more = False
    with receiving(notes) as url:
        assert await send(url) == 503


async def test_a_delivery_that_could_not_be_shown_is_not_answered_as_taken() -> None:
    notes = Notes(BrokenPipeError())
    with receiving(notes) as url, pytest.raises(httpx.RemoteProtocolError):
        await send(url)

    assert [type(each) for each in notes.errors] == [BrokenPipeError]


async def test_those_who_keep_silent_do_not_keep_others_waiting_and_are_bounded() -> None:
    notes = Notes()
    with receiving(notes) as url:
        port = httpx.URL(url).port
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(15)]
        assert await send(url) == 204
        silent += [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        ends = [asyncio.ensure_future(reader.read()) for reader, _ in silent]
        done, _ = await asyncio.wait(ends, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        for _, writer in silent:
            writer.close()
        await asyncio.wait(ends, timeout=PATIENCE_S)
        assert {end.result() for end in done} == {b""}
        assert len(done) <= 2  # the place of the delivery may be taken for a moment longer


async def say(url: str, data: bytes) -> bytes:
    """What the receiver answers to these bytes."""

    def said() -> bytes:
        address = httpx.URL(url)
        with socket.create_connection((address.host, address.port), timeout=PATIENCE_S) as connection:
            connection.sendall(data)
            return connection.recv(4_096)

    return await asyncio.to_thread(said)
