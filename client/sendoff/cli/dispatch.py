"""`sendoff dispatch ...`."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from sendoff.cli import completion, output, wording
from sendoff.cli.session import Json, session

Agent: TypeAlias = Annotated[
    str | None, typer.Option("--agent", help="Of the runs of this agent.", autocompletion=completion.agent_ids)
]
Key: TypeAlias = Annotated[str | None, typer.Option("--key", help="Of the runs with this fairness key.")]

dispatch = typer.Typer(no_args_is_help=True, help="Which waiting runs may begin.")


@dispatch.command("pause")
def pause(
    context: typer.Context,
    agent: Agent = None,
    key: Key = None,
    reason: Annotated[str, typer.Option(help="Why, for whoever asks.")] = "",
    as_json: Json = False,
) -> None:
    """Begin no run of an agent or a key until it is resumed; without either, none at all. Runs under way go on."""
    with session(context).client() as client:
        made = client.pause_dispatch(agent_id=agent, fairness_key=key, reason=reason)
    if as_json:
        output.document(made)
    else:
        output.note(f"{wording.pause_scope(made)} paused since {wording.moment(made.create_time)}")


@dispatch.command("resume")
def resume(context: typer.Context, agent: Agent = None, key: Key = None, as_json: Json = False) -> None:
    """Lift the pause of an agent or a key; without either, the one of everything. Others stay."""
    with session(context).client() as client:
        was_paused = client.resume_dispatch(agent_id=agent, fairness_key=key)
    if as_json:
        output.value({"was_paused": was_paused})
    else:
        output.note("resumed" if was_paused else "it was not paused")


@dispatch.command("ls")
def list_pauses(context: typer.Context, as_json: Json = False) -> None:
    """List what is paused, oldest first."""
    with session(context).client() as client:
        found = client.dispatch_pauses()
    output.listing(found, ("WHAT", "SINCE", "REASON"), wording.pause, as_json=as_json)
