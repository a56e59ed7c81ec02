"""`sendoff actions ...`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import islice
from typing import Annotated, TypeAlias

import typer

from sendoff import actions as decisions
from sendoff import v1
from sendoff.actions import ActionFilters
from sendoff.cli import output, wording
from sendoff.cli.exits import ExitCode
from sendoff.cli.following import follow
from sendoff.cli.ids import AgentOption, ConversationOption, RunId, RunOption
from sendoff.cli.options import json_object
from sendoff.cli.session import Json, session
from sendoff.client import Client

Call: TypeAlias = Annotated[
    list[str] | None, typer.Option("--call", help="Id of a call; may be given again. Unset: all that wait.")
]
Watch: TypeAlias = Annotated[bool, typer.Option("--watch", help="Show the run that continues while it goes on.")]

actions = typer.Typer(no_args_is_help=True, help="Approvals and results that runs wait for.")

_MOST_PER_PAGE = 1000


@actions.command("ls")
def list_actions(
    context: typer.Context,
    agent: AgentOption = None,
    conversation: ConversationOption = None,
    run: RunOption = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
    as_json: Json = False,
) -> None:
    """List what waits for an answer, soonest deadline first."""
    filters: ActionFilters = {
        "agent_id": agent,
        "conversation_id": conversation,
        "run_id": run,
        "page_size": min(limit, _MOST_PER_PAGE),
    }
    with session(context).client() as client:
        found = islice(client.actions(**filters), limit)
        output.listing(found, ("RUN", "CALL", "KIND", "ASKS", "ANSWERED", "UNTIL"), _row, as_json=as_json)


@actions.command("approve")
def approve(
    context: typer.Context,
    run_id: RunId,
    call: Call = None,
    arguments: Annotated[
        str | None, typer.Option(help="A JSON object: run the call with these arguments; needs one call.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why, for the log.")] = None,
    watch: Watch = False,
    as_json: Json = False,
) -> None:
    """Let calls run that a run has stopped for."""
    edited = json_object("--arguments", arguments)

    def answer(action: v1.PendingAction) -> v1.ActionDecision:
        return decisions.approval(action, reason, edited)

    _answer(context, run_id, call, answer, one=edited is not None, watch=watch, as_json=as_json)


@actions.command("deny")
def deny(
    context: typer.Context,
    run_id: RunId,
    call: Call = None,
    reason: Annotated[str | None, typer.Option(help="Why; the model reads it.")] = None,
    watch: Watch = False,
    as_json: Json = False,
) -> None:
    """Do not let calls run that a run has stopped for; the model is told."""

    def answer(action: v1.PendingAction) -> v1.ActionDecision:
        return decisions.denial(action, reason)

    _answer(context, run_id, call, answer, one=False, watch=watch, as_json=as_json)


@actions.command("return")
def give_result(
    context: typer.Context,
    run_id: RunId,
    result: Annotated[str, typer.Argument(help="What the tool returned; - reads it from stdin.")],
    call: Call = None,
    failed: Annotated[bool, typer.Option("--failed", help="The tool failed; the text says how.")] = False,
    watch: Watch = False,
    as_json: Json = False,
) -> None:
    """Give the result of a call whose tool ran elsewhere."""
    text = sys.stdin.read() if result == "-" else result

    def answer(action: v1.PendingAction) -> v1.ActionDecision:
        return decisions.result(action, text, is_error=failed)

    _answer(context, run_id, call, answer, one=True, watch=watch, as_json=as_json)


def _answer(
    context: typer.Context,
    run_id: str,
    calls: list[str] | None,
    answer: Callable[[v1.PendingAction], v1.ActionDecision],
    *,
    one: bool,
    watch: bool,
    as_json: bool,
) -> None:
    with session(context).client() as client:
        chosen = _chosen(client, run_id, calls, one=one)
        response = client.respond(chosen, [answer(action) for action in chosen])
        if as_json and not watch:
            output.document(response)
        elif not response.HasField("run"):
            output.note("Noted. Still waits for: " + ", ".join(each.tool_call_id for each in response.still_pending))
        elif watch:
            follow(client, response.run.id, {"include_deltas": True}, as_json=as_json)
        else:
            output.say(response.run.id)


def _chosen(client: Client, run_id: str, calls: list[str] | None, *, one: bool) -> list[v1.PendingAction]:
    pending = {action.tool_call_id: action for action in client.get_run(run_id).pending_actions}
    if unknown := [call for call in calls or () if call not in pending]:
        output.complain(f"{run_id} does not wait for {', '.join(unknown)}")
        raise typer.Exit(ExitCode.CONFLICT)
    chosen = [pending[call] for call in calls] if calls else [a for a in pending.values() if not a.HasField("decision")]
    if not chosen:
        output.complain(f"{run_id} waits for nothing")
        raise typer.Exit(ExitCode.CONFLICT)
    if one and len(chosen) > 1:
        raise typer.BadParameter("several calls wait; name one with --call: " + ", ".join(pending))
    return chosen


def _row(action: v1.PendingAction) -> tuple[str, ...]:
    return (
        action.run_id,
        action.tool_call_id,
        wording.action_kind(action.kind),
        wording.tool_call(action.call),
        "yes" if action.HasField("decision") else "no",
        wording.moment(action.expire_time),
    )
