"""`sendoff send`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from sendoff import v1
from sendoff.cli import completion, output
from sendoff.cli.asking import ask
from sendoff.cli.exits import ExitCode
from sendoff.cli.following import Screen, conclude, follow
from sendoff.cli.options import json_object, labels, moment_or_span
from sendoff.cli.pictures import image as image_named
from sendoff.cli.session import Json, Plain, session
from sendoff.client import Client
from sendoff.requests import SendOptions
from sendoff.waiting import TERMINAL


class WhenPending(StrEnum):
    """What to do when the conversation waits for an answer; the values of v1.WhenPending."""

    deny = "deny"
    enqueue = "enqueue"
    reject = "reject"


class WhenBusy(StrEnum):
    """What to do when the conversation works on another run; the values of v1.WhenBusy."""

    enqueue = "enqueue"
    reject = "reject"
    interrupt = "interrupt"
    rollback = "rollback"
    steer = "steer"


Agent = Annotated[
    str,
    typer.Argument(help='Id of the agent; "" goes with --conversation.', autocompletion=completion.agent_ids),
]
Said = Annotated[str, typer.Argument(help="What to say; - reads it from stdin.")]
Watch = Annotated[bool, typer.Option("--watch", help="Show the answer while it is written.")]
Wait = Annotated[bool, typer.Option("--wait", help="Show the answer when it is there.")]
Timeout = Annotated[float | None, typer.Option(help="With --wait: at most so many seconds.", min=0)]
Conversation = Annotated[
    str | None,
    typer.Option(help="Conversation; unset: the agent's own.", autocompletion=completion.conversation_ids),
]
Model = Annotated[str | None, typer.Option(help="Model for this run only.", autocompletion=completion.models)]
System = Annotated[str | None, typer.Option(help="System prompt for this run only.")]
RequestId = Annotated[str | None, typer.Option(help="Name of this request: sent again, it is the same run.")]
Images = Annotated[list[str] | None, typer.Option(help="A picture: on this machine, a URL, or the id of a file.")]
MaxSteps = Annotated[int | None, typer.Option(help="Most model calls of this run.")]
CallbackUrl = Annotated[str | None, typer.Option(help="Where the server POSTs when the run has ended.")]
CallbackEvents = Annotated[
    list[str] | None,
    typer.Option(help="Tell the URL of this: run.started, run.action_required, run.finished; may be given again."),
]
CallbackIncludeRun = Annotated[
    bool, typer.Option("--callback-include-run", help="Tell the URL the run and its result, too.")
]
CallbackSecret = Annotated[str | None, typer.Option(metavar="ENDPOINT", help="Sign with the secrets of this endpoint.")]
Labels = Annotated[list[str] | None, typer.Option(help="KEY=VALUE, kept on the run.")]
Metadata = Annotated[str | None, typer.Option(help="A JSON object, kept on the run.")]
Retention = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="How long the run is kept once it has ended."),
]
WhenBusyOption = Annotated[WhenBusy | None, typer.Option(help="When the conversation works on another run.")]
WhenPendingOption = Annotated[
    WhenPending | None, typer.Option(help="When the conversation waits for an answer; unset: what waits is denied.")
]
StartTime = Annotated[
    str | None,
    typer.Option(help="Do not start before: in a span as 90s, 30m, 24h, 7d, or a time; its zone else UTC."),
]
Priority = Annotated[int | None, typer.Option(min=1, max=5, help="1 first, 5 last. Default: 3.")]
FairnessKey = Annotated[str | None, typer.Option(help="Whom the run shares slots as. Default: the tenant.")]
ValidateOnly = Annotated[bool, typer.Option("--validate-only", help="Check the request, and send nothing.")]


def send(
    context: typer.Context,
    agent: Agent,
    text: Said,
    watch: Watch = False,
    wait: Wait = False,
    timeout: Timeout = None,
    conversation: Conversation = None,
    model: Model = None,
    system: System = None,
    request_id: RequestId = None,
    image: Images = None,
    max_steps: MaxSteps = None,
    callback_url: CallbackUrl = None,
    callback_event: CallbackEvents = None,
    callback_include_run: CallbackIncludeRun = False,
    callback_secret: CallbackSecret = None,
    label: Labels = None,
    metadata: Metadata = None,
    retention: Retention = None,
    when_busy: WhenBusyOption = None,
    when_pending: WhenPendingOption = None,
    start_time: StartTime = None,
    priority: Priority = None,
    fairness_key: FairnessKey = None,
    validate_only: ValidateOnly = False,
    plain: Plain = False,
    as_json: Json = False,
) -> None:
    """Send a message to an agent.

    Prints the id of the run; with --watch or --wait the answer, and then the exit code tells how the run ended.
    """
    _check_ways_to_wait(watch, wait, validate_only, timeout, plain=plain, as_json=as_json)
    callback = _callback(callback_event, callback_include_run, callback_secret)
    if callback is not None and callback_url is None:
        raise typer.BadParameter("--callback-event, --callback-include-run, --callback-secret go with --callback-url")
    options: SendOptions = {
        "conversation_id": conversation,
        "override_model": model,
        "override_system": system,
        "request_id": request_id,
        "max_steps": max_steps,
        "callback_url": callback_url,
        "callback": callback,
        "labels": labels(label),
        "metadata": json_object("--metadata", metadata),
        "retention_s": retention,
        "when_busy": v1.WhenBusy.Value(f"WHEN_BUSY_{when_busy.upper()}") if when_busy else None,
        "when_pending": v1.WhenPending.Value(f"WHEN_PENDING_{when_pending.upper()}") if when_pending else None,
        "start_time": moment_or_span("--start-time", start_time, datetime.now(UTC), ahead=True) if start_time else None,
        "priority": priority,
        "fairness_key": fairness_key,
        "validate_only": validate_only,
    }
    content = _content(sys.stdin.read() if text == "-" else text, image or [])
    with session(context).client() as client:
        run = client.send(agent, content, **options)
        if watch:
            follow(client, run.id, {"include_deltas": True}, as_json=as_json, plain=plain)
        elif wait:
            _await_answer(client, run, timeout, as_json=as_json)
        else:
            _show_accepted(run, as_json=as_json)


def _check_ways_to_wait(
    watch: bool, wait: bool, validate_only: bool, timeout_s: float | None, *, plain: bool, as_json: bool
) -> None:
    if watch + wait + validate_only > 1:
        raise typer.BadParameter("--watch, --wait and --validate-only exclude each other")
    if plain and (as_json or not watch):
        raise typer.BadParameter("--plain goes with --watch, and not with --json")
    if timeout_s is not None and not wait:
        raise typer.BadParameter("--timeout goes with --wait; the deadline of the call itself stands before `send`")


def _show_accepted(run: v1.Run, *, as_json: bool) -> None:
    if as_json:
        output.document(run)
    elif run.id:
        output.say(run.id)
        if sys.stdout.isatty():
            output.note(f"To see the answer: sendoff watch {run.id}")
    else:
        output.note("The request would be accepted.")


def _await_answer(client: Client, run: v1.Run, timeout_s: float | None, *, as_json: bool) -> None:
    try:
        run = client.wait_run(run.id, timeout_s=timeout_s)
    except KeyboardInterrupt as stop:
        output.note(f"The run goes on. To wait for it again: sendoff wait {run.id}")
        raise typer.Exit(ExitCode.INTERRUPTED) from stop
    if as_json:
        output.document(run)
    if run.status not in TERMINAL:
        output.complain(f"the run has not ended yet; to wait for it again: sendoff wait {run.id}")
        raise typer.Exit(ExitCode.TIMEOUT)
    if not as_json:
        screen = Screen()
        screen.show(v1.RunSnapshot(run=run, messages=list(client.run_messages(run.id))))
        screen.end_line()
        if (continuation := ask(client, run)) is not None:
            _await_answer(client, continuation, timeout_s, as_json=False)
    conclude(run)


def _callback(events: list[str] | None, include_run: bool, secret_of: str | None) -> v1.CallbackOptions | None:
    """None if nothing is given: then the receiver is told as Letta tells it."""
    if not (events or include_run or secret_of):
        return None
    return v1.CallbackOptions(event_types=events, include_run=include_run, secret_id=secret_of)


def _content(text: str, images: list[str]) -> v1.Content:
    if not images:
        return v1.Content(text=text)
    parts = [v1.ContentPart(text=v1.Text(text=text)), *(v1.ContentPart(image=image_named(each)) for each in images)]
    return v1.Content(parts=v1.Content.Parts(parts=parts))
