"""`sendoff agents ...`."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, TypeAlias

import typer

from sendoff import v1
from sendoff.cli import completion, details, output, wording
from sendoff.cli.ids import AgentId
from sendoff.cli.session import Json, session
from sendoff.requests import AgentFields

Name: TypeAlias = Annotated[str | None, typer.Option(help="Only those of just this name.")]
Search: TypeAlias = Annotated[str, typer.Option(help="Only those that have this in their name.")]
Tag: TypeAlias = Annotated[
    list[str] | None, typer.Option(help="Only those with this tag; may be given again: one of them.")
]

agents = typer.Typer(no_args_is_help=True, help="Agents.")

_MOST_PER_PAGE = 1000


@agents.command("create")
def create(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="A name for people; unset: one is made up.")] = "",
    model: Annotated[
        str,
        typer.Option(help="One of `sendoff models ls`; unset: the server's default.", autocompletion=completion.models),
    ] = "",
    system: Annotated[str, typer.Option(help="System prompt; unset: a short default.")] = "",
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="A tag to find it by; may be given again.")] = None,
    block: Annotated[
        list[str] | None,
        typer.Option(help="Id of a memory block that it has; may be given again.", autocompletion=completion.block_ids),
    ] = None,
    tool: Annotated[
        list[str] | None,
        typer.Option(help="Id of a tool that it may call; may be given again.", autocompletion=completion.tool_ids),
    ] = None,
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
    as_json: Json = False,
) -> None:
    """Print the system prompt that the next model call is given, memory blocks included."""
    with session(context).client() as client:
        told = client.compile_system(agent_id, conversation)
    if as_json:
        output.value({"system": told})
    else:
        output.say(told)


@agents.command("update")
def update(
    context: typer.Context,
    agent_id: AgentId,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    model: Annotated[
        str | None, typer.Option(help="One of `sendoff models ls`.", autocompletion=completion.models)
    ] = None,
    system: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Tags, in place of those it has; may be given again.")] = None,
    block: Annotated[
        list[str] | None,
        typer.Option(
            help="Ids of memory blocks, in place of those it has; may be given again.",
            autocompletion=completion.block_ids,
        ),
    ] = None,
    tool: Annotated[
        list[str] | None,
        typer.Option(
            help="Ids of tools, in place of those it has; may be given again.", autocompletion=completion.tool_ids
        ),
    ] = None,
    etag: Annotated[str | None, typer.Option(help="Change it only if this is still its etag.")] = None,
    as_json: Json = False,
) -> None:
    """Change an agent, then show it; what is not given stays as it is."""
    fields: AgentFields = {}
    if name is not None:
        fields["name"] = name
    if model is not None:
        fields["model"] = model
    if system is not None:
        fields["system"] = system
    if description is not None:
        fields["description"] = description
    if tag:
        fields["tags"] = tag
    if block:
        fields["block_ids"] = block
    if tool:
        fields["tool_ids"] = tool
    if not fields:
        raise typer.BadParameter("nothing to change: give --name, --model, --system, --description, ...")
    with session(context).client() as client:
        _show(client.update_agent(agent_id, etag=etag, **fields), as_json=as_json)


@agents.command("ls")
def list_agents(
    context: typer.Context,
    name: Name = None,
    search: Search = "",
    tag: Tag = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
    as_json: Json = False,
) -> None:
    """List agents, newest first."""
    page_size = min(limit, _MOST_PER_PAGE)
    with session(context).client() as client:
        found = client.agents(name=name, name_search=search, tags=tag or [], page_size=page_size)
        output.listing(islice(found, limit), ("AGENT", "NAME", "MODEL", "CREATED"), _row, as_json=as_json)


@agents.command("count")
def count(
    context: typer.Context, name: Name = None, search: Search = "", tag: Tag = None, as_json: Json = False
) -> None:
    """Print how many agents there are."""
    with session(context).client() as client:
        found = client.count_agents(name=name, name_search=search, tags=tag or [])
    if as_json:
        output.value({"count": found})
    else:
        output.say(str(found))


@agents.command("tags")
def tags(
    context: typer.Context,
    search: Annotated[str, typer.Option(help="Only those that have this in them.")] = "",
    as_json: Json = False,
) -> None:
    """List the tags that agents and memory blocks have, each once."""
    with session(context).client() as client:
        for each in client.tags(search):
            if as_json:
                output.value({"tag": each})
            else:
                output.say(output.one_line(each))


@agents.command("show")
def show(context: typer.Context, agent_id: AgentId, as_json: Json = False) -> None:
    """Show an agent."""
    with session(context).client() as client:
        _show(client.get_agent(agent_id), as_json=as_json)


@agents.command("rm")
def remove(
    context: typer.Context,
    agent_id: AgentId,
    cancel_runs: Annotated[bool, typer.Option("--cancel-runs", help="Cancel its runs first.")] = False,
    as_json: Json = False,
) -> None:
    """Delete an agent with its conversations, messages and runs."""
    with session(context).client() as client:
        client.delete_agent(agent_id, cancel_runs=cancel_runs)
    output.removed(agent_id, as_json=as_json)


def _show(agent: v1.Agent, *, as_json: bool) -> None:
    if as_json:
        output.document(agent)
    else:
        output.fields(details.of_agent(agent))


def _row(agent: v1.Agent) -> tuple[str, ...]:
    return agent.id, agent.name, agent.model, wording.moment(agent.create_time)
