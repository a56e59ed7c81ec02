"""`sendoff conversations ...`."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, TypeAlias

import typer

from sendoff import v1
from sendoff.cli import completion, details, output, wording
from sendoff.cli.ids import AgentId, AnyConversation, ConversationId
from sendoff.cli.options import labels
from sendoff.cli.session import Json, session
from sendoff.requests import ConversationFields, MessageFilters

OfAgent: TypeAlias = Annotated[
    str | None, typer.Option("--agent", help="Id of the agent.", autocompletion=completion.agent_ids)
]
Summary: TypeAlias = Annotated[str | None, typer.Option(help="What it is about, for people.")]
Model: TypeAlias = Annotated[
    str | None, typer.Option(help="Model of its runs; unset: the agent's.", autocompletion=completion.models)
]
Label: TypeAlias = Annotated[list[str] | None, typer.Option(help="KEY=VALUE, kept with it; may be given again.")]
RequestId: TypeAlias = Annotated[
    str | None, typer.Option(help="Name of this request: sent again, it is the same conversation.")
]

conversations = typer.Typer(no_args_is_help=True, help="Conversations beside the agents' own.")

_MOST_PER_PAGE = 1000


@conversations.command("create")
def create(
    context: typer.Context,
    agent_id: AgentId,
    summary: Summary = None,
    model: Model = None,
    label: Label = None,
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """Begin a conversation with an agent; prints its id."""
    fields: ConversationFields = {"summary": summary, "model": model, "labels": labels(label)}
    with session(context).client() as client:
        made = client.create_conversation(agent_id, request_id=request_id, **fields)
    _show_made(made, as_json=as_json)


@conversations.command("fork")
def fork(
    context: typer.Context,
    conversation_id: AnyConversation,
    agent: OfAgent = None,
    at: Annotated[str | None, typer.Option(help="Id of the last message of the fork; unset: the newest.")] = None,
    summary: Summary = None,
    model: Model = None,
    label: Label = None,
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """Begin a conversation with the history of another one; prints its id."""
    fields: ConversationFields = {"summary": summary, "model": model, "labels": labels(label)}
    with session(context).client() as client:
        made = client.fork_conversation(
            conversation_id, agent_id=agent, at_message_id=at, request_id=request_id, **fields
        )
    _show_made(made, as_json=as_json)


@conversations.command("ls")
def list_conversations(
    context: typer.Context,
    agent: OfAgent = None,
    search: Annotated[str | None, typer.Option(help="Only those whose summary holds this.")] = None,
    archived: Annotated[
        bool | None, typer.Option("--archived/--not-archived", help="Only those that are, or are not; unset: both.")
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
    as_json: Json = False,
) -> None:
    """List conversations, newest first."""
    with session(context).client() as client:
        found = islice(client.conversations(agent, summary_search=search, archived=archived), limit)
        output.listing(found, ("CONVERSATION", "SUMMARY", "LAST MESSAGE", "QUEUED", "AGENT"), _row, as_json=as_json)


@conversations.command("show")
def show(context: typer.Context, conversation_id: ConversationId, as_json: Json = False) -> None:
    """Show a conversation."""
    with session(context).client() as client:
        _show(client.get_conversation(conversation_id), as_json=as_json)


@conversations.command("update")
def update(
    context: typer.Context,
    conversation_id: ConversationId,
    summary: Summary = None,
    description: Annotated[str | None, typer.Option(help="More about it, for people.")] = None,
    model: Model = None,
    archived: Annotated[
        bool | None, typer.Option("--archive/--unarchive", help="Archived, it is still there and can be used.")
    ] = None,
    label: Label = None,
    etag: Annotated[str | None, typer.Option(help="Change it only if this is still its etag.")] = None,
    as_json: Json = False,
) -> None:
    """Change a conversation, then show it; what is not given stays as it is. Labels take the place of those it has."""
    fields: ConversationFields = {}
    if summary is not None:
        fields["summary"] = summary
    if description is not None:
        fields["description"] = description
    if model is not None:
        fields["model"] = model or None
    if archived is not None:
        fields["archived"] = archived
    if label:
        fields["labels"] = labels(label)
    if not fields:
        raise typer.BadParameter("nothing to change: give --summary, --model, --archive, --label, ...")
    with session(context).client() as client:
        _show(client.update_conversation(conversation_id, etag=etag, **fields), as_json=as_json)


@conversations.command("messages")
def messages(
    context: typer.Context,
    conversation_id: AnyConversation,
    agent: OfAgent = None,
    limit: Annotated[int, typer.Option(help="At most so many, the newest.", min=1)] = 50,
    as_json: Json = False,
) -> None:
    """Show the newest messages of a conversation, oldest first."""
    filters: MessageFilters = {"agent_id": agent, "page_size": min(limit, _MOST_PER_PAGE)}
    with session(context).client() as client:
        found = list(islice(client.messages(conversation_id, **filters), limit))[::-1]
    output.listing(found, wording.MESSAGE_COLUMNS, wording.message, as_json=as_json)


@conversations.command("message")
def message(
    context: typer.Context,
    message_id: Annotated[str, typer.Argument(metavar="MESSAGE", help="Id of the message.")],
    as_json: Json = False,
) -> None:
    """Show one message of any conversation, all its entries."""
    with session(context).client() as client:
        found = client.get_message(message_id)
    output.listing(found, wording.MESSAGE_COLUMNS, wording.message, as_json=as_json)


@conversations.command("context")
def show_context(
    context: typer.Context, conversation_id: AnyConversation, agent: OfAgent = None, as_json: Json = False
) -> None:
    """Show the ids of the messages that the next model call would be shown."""
    with session(context).client() as client:
        shown = client.get_conversation_context(conversation_id, agent_id=agent)
    if as_json:
        output.document(shown)
    else:
        for message_id in shown.message_ids:
            output.say(message_id)


@conversations.command("compact")
def compact(
    context: typer.Context,
    conversation_id: AnyConversation,
    agent: OfAgent = None,
    request_id: Annotated[
        str | None, typer.Option(help="Name of this request: sent again, it is the same compaction.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Put older messages into a summary, for the model; prints the summary. They stay readable."""
    with session(context).client() as client:
        done = client.compact_conversation(conversation_id, agent_id=agent, request_id=request_id)
    if as_json:
        output.document(done)
    else:
        output.say(done.summary)


@conversations.command("reset")
def reset(
    context: typer.Context, conversation_id: AnyConversation, agent: OfAgent = None, as_json: Json = False
) -> None:
    """Show the model nothing of what was said so far; what is pending is denied. Messages stay readable."""
    with session(context).client() as client:
        done = client.reset_conversation(conversation_id, agent_id=agent)
    if as_json:
        output.document(done)


@conversations.command("rm")
def remove(
    context: typer.Context,
    conversation_id: ConversationId,
    cancel_runs: Annotated[bool, typer.Option("--cancel-runs", help="Cancel its runs first.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a conversation with its messages and runs."""
    with session(context).client() as client:
        client.delete_conversation(conversation_id, cancel_runs=cancel_runs)
    output.removed(conversation_id, as_json=as_json)


def _show(conversation: v1.Conversation, *, as_json: bool) -> None:
    if as_json:
        output.document(conversation)
    else:
        output.fields(details.of_conversation(conversation))


def _row(conversation: v1.Conversation) -> tuple[str, ...]:
    return (
        conversation.id,
        conversation.summary,
        wording.moment(conversation.last_message_time),
        str(conversation.queued_runs or ""),
        conversation.agent_id,
    )


def _show_made(made: v1.Conversation, *, as_json: bool) -> None:
    if as_json:
        output.document(made)
    else:
        output.say(made.id)
