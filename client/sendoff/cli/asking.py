"""What to do about a run that has stopped for an answer: ask on a terminal, else say how to answer."""

from __future__ import annotations

import sys

import typer

from sendoff import actions, v1
from sendoff.cli import output, wording
from sendoff.client import Client


def ask(client: Client, stopped: v1.Run) -> v1.Run | None:
    """Ask the person at the terminal for all that the run waits for; the run that continues.

    None: nobody is there, or it was left unanswered. Then it was said how to answer later.
    """
    if not stopped.pending_actions:
        return None
    waiting = [action for action in stopped.pending_actions if not action.HasField("decision")]
    if not (waiting and sys.stdin.isatty() and sys.stderr.isatty()):
        _tell(stopped)
        return None
    decisions = [_decision(action) for action in waiting]
    if any(decision is None for decision in decisions):
        _tell(stopped)
        return None
    response = client.respond(waiting, [decision for decision in decisions if decision is not None])
    return response.run if response.HasField("run") else None


def _decision(action: v1.PendingAction) -> v1.ActionDecision | None:
    """The person's answer; None for none."""
    call = output.one_line(wording.tool_call(action.call))
    if action.kind == v1.ACTION_KIND_CLIENT_TOOL:
        text = typer.prompt(f"Result of {call} (empty: answer later)", default="", show_default=False, err=True)
        return actions.result(action, text) if text else None
    question = _QUESTIONS.get(action.kind, "Run")
    answer = typer.prompt(f"{question} {call}? yes, no, or later", default="later", err=True).strip().lower()
    if answer in ("y", "yes"):
        return actions.approval(action)
    if answer in ("n", "no"):
        reason = typer.prompt("Why not? The model reads it", default="", show_default=False, err=True)
        return actions.denial(action, reason or None)
    return None


_QUESTIONS = {v1.ACTION_KIND_RESOLVE_UNKNOWN_OUTCOME: "Nobody knows whether it has run. Run it again:"}


def _tell(stopped: v1.Run) -> None:
    kinds = {action.kind for action in stopped.pending_actions}
    output.note("The run waits for an answer:")
    if kinds - {v1.ACTION_KIND_CLIENT_TOOL}:
        output.note(f"  sendoff actions approve {stopped.id} --watch")
        output.note(f"  sendoff actions deny {stopped.id} --reason WHY --watch")
    if kinds & {v1.ACTION_KIND_CLIENT_TOOL, v1.ACTION_KIND_RESOLVE_UNKNOWN_OUTCOME}:
        output.note(f"  sendoff actions return {stopped.id} RESULT --watch")
