"""`sendoff get`, `wait`, `watch`, `cancel`, `messages` and `runs ...`."""

from __future__ import annotations

from enum import StrEnum
from itertools import islice
from typing import Annotated

import typer

from sendoff import v1
from sendoff.cli import details, output, wording
from sendoff.cli.events import event_row
from sendoff.cli.exits import ExitCode, of_run
from sendoff.cli.following import follow
from sendoff.cli.ids import AgentOfRuns, ConversationOption, RunId
from sendoff.cli.session import Json, Plain, session
from sendoff.requests import RunFilters
from sendoff.waiting import TERMINAL, is_reached
from sendoff.watching import WatchOptions

runs = typer.Typer(no_args_is_help=True, help="Runs.")

_MOST_PER_PAGE = 1000


class Status(StrEnum):
    """The statuses of a run; the values of v1.RunStatus."""

    created = "created"
    running = "running"
    completed = "completed"
    failed = "failed"
    cancelled = "cancelled"


class Until(StrEnum):
    """What to wait for; the values of v1.WaitUntil."""

    terminal = "terminal"
    started = "started"
    action_or_terminal = "action_or_terminal"
    turn_end = "turn_end"


def get(context: typer.Context, run_id: RunId, as_json: Json = False) -> None:
    """Show a run as it is now."""
    with session(context).client() as client:
        _show(client.get_run(run_id), as_json=as_json)


def wait(
    context: typer.Context,
    run_id: RunId,
    until: Annotated[Until, typer.Option(help="What to wait for.")] = Until.terminal,
    timeout: Annotated[float | None, typer.Option(help="At most so many seconds; unset: no limit.", min=0)] = None,
    as_json: Json = False,
) -> None:
    """Wait for a run, then show it. The exit code tells how it ended, or that the time was over."""
    wanted = v1.WaitUntil.Value(f"WAIT_UNTIL_{until.upper()}")
    with session(context).client() as client:
        run = client.wait_run(run_id, wanted, timeout_s=timeout)
        _show(run, as_json=as_json)
    if not is_reached(run, wanted):
        output.complain(f"the run has not got there yet; to wait for it again: sendoff wait {run_id}")
        raise typer.Exit(ExitCode.TIMEOUT)
    raise typer.Exit(of_run(run) if run.status in TERMINAL else ExitCode.OK)


def watch(
    context: typer.Context,
    run_id: RunId,
    after: Annotated[int, typer.Option("--from", help="Only what comes after this event.", min=0)] = 0,
    deltas: Annotated[bool, typer.Option(help="Show texts while they are written, or when they are done.")] = True,
    turn: Annotated[
        bool, typer.Option("--turn", help="Go on with the runs that continue it, and wait for them.")
    ] = False,
    plain: Plain = False,
    as_json: Json = False,
) -> None:
    """Show a run while it goes on, over broken connections too. The exit code tells how it ended."""
    if plain and as_json:
        raise typer.BadParameter("--plain and --json exclude each other")
    options: WatchOptions = {"after_sequence": after, "include_deltas": deltas, "follow_continuations": turn}
    with session(context).client() as client:
        follow(client, run_id, options, as_json=as_json, plain=plain)


def cancel(
    context: typer.Context,
    run_id: RunId,
    rollback: Annotated[bool, typer.Option("--rollback", help="Drop its messages, too.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why, for its log.")] = None,
    as_json: Json = False,
) -> None:
    """Ask a run to stop, then show it. It has stopped when its status says so."""
    with session(context).client() as client:
        _show(client.cancel_run(run_id, rollback=rollback, reason=reason), as_json=as_json)


def messages(context: typer.Context, run_id: RunId, as_json: Json = False) -> None:
    """Show the messages of a run, its input included."""
    with session(context).client() as client:
        found = client.run_messages(run_id)
        output.listing(found, wording.MESSAGE_COLUMNS, wording.message, as_json=as_json)


@runs.command("ls")
def list_runs(
    context: typer.Context,
    agent: AgentOfRuns = None,
    conversation: ConversationOption = None,
    status: Annotated[list[Status] | None, typer.Option(help="In this status only; may be given again.")] = None,
    active: Annotated[bool | None, typer.Option("--active/--ended", help="Only those that go on, or not.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""
    filters: RunFilters = {
        "agent_id": agent,
        "conversation_id": conversation,
        "statuses": [v1.RunStatus.Value(f"RUN_STATUS_{each.upper()}") for each in status or []],
        "active": active,
        "page_size": min(limit, _MOST_PER_PAGE),
    }
    with session(context).client() as client:
        found = islice(client.runs(**filters), limit)
        output.listing(found, ("RUN", "STATUS", "STOP REASON", "CREATED", "DURATION", "AGENT"), _row, as_json=as_json)


@runs.command("rm")
def remove(context: typer.Context, run_id: RunId, as_json: Json = False) -> None:
    """Delete a run that has ended. Its messages stay in the conversation."""
    with session(context).client() as client:
        client.delete_run(run_id)
    output.removed(run_id, as_json=as_json)


@runs.command("explain")
def explain(context: typer.Context, run_id: RunId, as_json: Json = False) -> None:
    """Tell in plain sentences what keeps a run from starting or going on, who does, and until when."""
    with session(context).client() as client:
        found = client.explain_run(run_id)
    if as_json:
        output.document(found)
        return
    for fact in found.facts:
        output.say(output.one_line(fact))


@runs.command("steps")
def steps(context: typer.Context, run_id: RunId, as_json: Json = False) -> None:
    """Show the steps of a run: its model calls, and the tools that each called."""
    with session(context).client() as client:
        found = client.run_steps(run_id)
        output.listing(found, wording.STEP_COLUMNS, wording.step, as_json=as_json)


@runs.command("events")
def events(
    context: typer.Context,
    run_id: RunId,
    after: Annotated[int, typer.Option("--from", help="Only what comes after this event.", min=0)] = 0,
    limit: Annotated[int | None, typer.Option(help="At most so many; unset: all.", min=1)] = None,
    as_json: Json = False,
) -> None:
    """Show the log of a run as it is now. To follow it: `sendoff watch`."""
    with session(context).client() as client:
        found = islice(client.run_events(run_id, after_sequence=after), limit)
        output.listing(found, ("EVENT", "TIME", "KIND", "WHAT"), event_row, as_json=as_json)


def _row(run: v1.Run) -> tuple[str, ...]:
    duration = wording.span(run.total_duration_ns) if run.HasField("total_duration_ns") else ""
    created = wording.moment(run.create_time)
    return run.id, wording.status(run.status), wording.stop_reason(run), created, duration, run.agent_id


def _show(run: v1.Run, *, as_json: bool) -> None:
    if as_json:
        output.document(run)
    else:
        output.fields(details.of_run(run))
