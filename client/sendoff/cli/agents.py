"""`sendoff agents ...`."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, TypeAlias

import typer

from sendoff.cli import output, wording
from sendoff.cli.session import Json, session
from sendoff.requests import AgentFields

AgentId: TypeAlias = Annotated[str, typer.Argument(metavar="AGENT", help="Id of the agent.")]

agents = typer.Typer(no_args_is_help=True, help="Agents.")


@agents.command("create")
def create(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="A name for people; unset: one is made up.")] = "",
    model: Annotated[str, typer.Option(help="One of `sendoff models ls`; unset: the server's default.")] = "",
    system: Annotated[str, typer.Option(help="System prompt; unset: a short default.")] = "",
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="A tag to find it by; may be given again.")] = None,
    block: Annotated[
        list[str] | None, typer.Option(help="Id of a memory block that it has; may be given again.")
    ] = None,
    tool: Annotated[list[str] | None, typer.Option(help="Id of a tool that it may call; may be given again.")] = None,
    request_id: Annotated[
        str | None, typer.Option(help="Name of this request: sent again, it is the same agent.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make an agent; prints its id."""
    fields: AgentFields = {
        "name": name,
        "model": model,
        "system": system,
        "description": description,
        "tags": tag or [],
        "block_ids": block or [],
        "tool_ids": tool or [],
    }
    with session(context).client() as client:
        agent = client.create_agent(request_id=request_id, **fields)
    if as_json:
        output.document(agent)
    else:
        output.say(agent.id)


@agents.command("system")
def system_prompt(
    context: typer.Context,
    agent_id: AgentId,
    conversation: Annotated[str | None, typer.Option(help="Id of a conversation; unset: the agent's own.")] = None,
) -> None:
    """Print the system prompt that the next model call is given, memory blocks included."""
    with session(context).client() as client:
        output.say(client.compile_system(agent_id, conversation))


@agents.command("ls")
def list_agents(
    context: typer.Context,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
    as_json: Json = False,
) -> None:
    """List agents, newest first."""
    with session(context).client() as client:
        found = islice(client.agents(), limit)
        if as_json:
            for each in found:
                output.line(each)
        else:
            rows = ((each.id, each.name, each.model, wording.moment(each.create_time)) for each in found)
            output.table(("AGENT", "NAME", "MODEL", "CREATED"), rows)


@agents.command("show")
def show(context: typer.Context, agent_id: AgentId, as_json: Json = False) -> None:
    """Show an agent."""
    with session(context).client() as client:
        agent = client.get_agent(agent_id)
    if as_json:
        output.document(agent)
    else:
        output.fields(wording.agent_fields(agent))


@agents.command("rm")
def remove(
    context: typer.Context,
    agent_id: AgentId,
    cancel_runs: Annotated[bool, typer.Option("--cancel-runs", help="Cancel its runs first.")] = False,
) -> None:
    """Delete an agent with its conversations, messages and runs."""
    with session(context).client() as client:
        client.delete_agent(agent_id, cancel_runs=cancel_runs)
