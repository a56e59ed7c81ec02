"""`sendoff callbacks listen`."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType
from typing import Annotated, Any, TypeAlias

import typer
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from sendoff.cli import output
from sendoff.cli.exits import ExitCode
from sendoff.cli.http_receiver import HttpReceiver, Received, Refused
from sendoff.cli.ids import AgentOfRuns
from sendoff.cli.options import EventType
from sendoff.cli.session import Json, session
from sendoff.client import Client

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with
_POLL_S = 0.1
"""The library's server looks so often whether it is to stop."""

Ending: TypeAlias = ExitCode | Exception
"""Why it is over."""


def listen(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Where to listen; 0: any port that is free.", min=0, max=65_535)] = 0,
    host: Annotated[str, typer.Option(help="Address of this machine to listen on.")] = "127.0.0.1",
    secret: Annotated[
        str | None,
        typer.Option(envvar="SENDOFF_CALLBACK_SECRET", help="What signs; unset: that of an endpoint made for this."),
    ] = None,
    agent: AgentOfRuns = None,
    event: EventType = None,
    count: Annotated[int | None, typer.Option(help="End after so many deliveries.", min=1)] = None,
    as_json: Json = False,
) -> None:
    """Receive callbacks on this machine and show those that are signed as they should be: for development.

    Without a secret an endpoint is registered for this address, and deleted at the end. With one nothing is: whatever
    is sent here is verified with it.
    """
    if secret is not None and (agent or event):
        raise typer.BadParameter("--agent and --event are about an endpoint made for this, which --secret does without")
    if secret is None and host in _EVERYWHERE:
        raise typer.BadParameter(
            f"nothing can be sent to {host}: make an endpoint with `sendoff callbacks create`, and give its --secret"
        )
    verifying = None if secret is None else _webhook(secret)
    endings: SimpleQueue[Ending] = SimpleQueue()
    with _receiver(host, port, _Screen(endings, count, as_json=as_json)) as receiver, _asked_to_stop(endings):
        if verifying is not None:
            output.note(f"Listening on {_url(receiver)}. Ctrl-C ends.")
            _serve(receiver, verifying, endings)
            return
        with session(context).client() as client, _endpoint(client, _url(receiver), agent, event) as made:
            _serve(receiver, _webhook(made), endings)


def _serve(receiver: HttpReceiver, webhook: Webhook, endings: SimpleQueue[Ending]) -> None:
    """Take deliveries until there is an ending, which is raised unless all went well."""
    receiver.webhook = webhook
    serving = threading.Thread(target=receiver.serve_forever, args=(_POLL_S,), daemon=True)
    serving.start()
    try:
        ending = endings.get()
    finally:
        receiver.shutdown()
        serving.join()
    if isinstance(ending, Exception):
        raise ending
    if ending is not ExitCode.OK:
        raise typer.Exit(ending)


# ---- what there is as long as it listens ----


@contextmanager
def _receiver(host: str, port: int, screen: _Screen) -> Iterator[HttpReceiver]:
    try:
        receiver = HttpReceiver(host, port, screen)
    except OSError as error:
        raise typer.BadParameter(f"cannot listen on {host}, port {port}: {error.strerror or error}") from error
    with receiver:
        yield receiver


@contextmanager
def _endpoint(client: Client, url: str, agent: str | None, events: list[str] | None) -> Iterator[str]:
    """The secret of an endpoint that there is inside the block."""
    made = client.create_endpoint(
        url=url, agent_id=agent, event_types=events or [], include_run=True, description="sendoff callbacks listen"
    )
    endpoint_id = made.endpoint.id
    output.note(f"Listening on {url} as {endpoint_id}, which is deleted at the end. Ctrl-C ends.")
    try:
        yield made.secret
    finally:
        client.delete_endpoint(endpoint_id)
        output.note(f"Deleted {endpoint_id}.")


@contextmanager
def _asked_to_stop(endings: SimpleQueue[Ending]) -> Iterator[None]:
    """Inside, the first Ctrl-C or SIGTERM is an ending, so that what was made is deleted; a second one ends at once."""
    if threading.current_thread() is not threading.main_thread():  # signals are told to that one alone
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(_number: int, _frame: FrameType | None) -> None:
        restore()
        endings.put(ExitCode.INTERRUPTED)  # this queue may be put to from within itself

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        restore()


def _webhook(secret: str) -> Webhook:
    try:
        return Webhook(secret)
    except (ValueError, EmptyWebhookSecretError) as error:
        raise typer.BadParameter("--secret: expected whsec_ and base64") from error


def _url(receiver: HttpReceiver) -> str:
    host = str(receiver.server_address[0])
    return f"http://[{host}]:{receiver.port}/" if ":" in host else f"http://{host}:{receiver.port}/"


# ---- what is shown ----


class _Screen:
    """Shows what comes; ends it when enough has come, or when nobody looks any more."""

    def __init__(self, endings: SimpleQueue[Ending], count: int | None, *, as_json: bool) -> None:
        self._endings = endings
        self._left = count
        self._as_json = as_json

    def take(self, delivery: Received) -> bool:
        if self._left == 0:
            return False
        if self._as_json:
            output.write(json.dumps(_told(delivery), ensure_ascii=False) + "\n")
        else:
            output.say(_headline(delivery))
            for line in _answer(delivery.body):
                output.say(f"  {line}")
        return True

    def taken(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self._endings.put(ExitCode.OK)

    def refused(self, caller: str, refused: Refused) -> None:
        output.complain(f"NOT VERIFIED, answered {refused.status}: {refused.why}; it came from {caller}")

    def failed(self, error: Exception) -> None:
        self._endings.put(error)


def _told(delivery: Received) -> dict[str, Any]:
    return {"webhook_id": delivery.id, "attempt": delivery.attempt, "body": delivery.body}


def _headline(delivery: Received) -> str:
    """Type, run, status and reason, and which delivery it is, in one line."""
    body, data = delivery.body, delivery.body.get("data")
    about = data if isinstance(data, dict) else body  # a run's own callback can be told without an envelope
    names = ("run_id", "endpoint_id", "status", "stop_reason")
    told = [body.get("type", "callback"), *(about.get(name) for name in names)]
    which = ["verified", f"attempt {delivery.attempt}" if delivery.attempt else "", delivery.id]
    told.append(f"({', '.join(each for each in which if each)})")
    return "  ".join(output.one_line(str(each)) for each in told if each)


def _answer(body: dict[str, Any]) -> Iterator[str]:
    """What the agent said, if the body tells it."""
    held = body.get("data") or body.get("metadata")
    result = held.get("result") if isinstance(held, dict) else None
    messages = result.get("messages") if isinstance(result, dict) else None
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("message_type") == "assistant_message":
            content = message.get("content")
            yield from content.splitlines() if isinstance(content, str) else ()
