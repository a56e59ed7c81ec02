"""`sendoff conversations ...`."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, TypeAlias

import typer

from sendoff import v1
from sendoff.cli import output, wording
from sendoff.cli.options import labels
from sendoff.cli.session import Json, session
from sendoff.requests import ConversationFields, MessageFilters

ConversationId: TypeAlias = Annotated[str, typer.Argument(metavar="CONVERSATION", help="Id of the conversation.")]
AnyConversation: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="CONVERSATION", help='Id of the conversation; "default" with --agent: the agent\'s own.'),
]
OfAgent: TypeAlias = Annotated[str | None, typer.Option("--agent", help="Id of the agent.")]
Summary: TypeAlias = Annotated[str | None, typer.Option(help="What it is about, for people.")]
Model: TypeAlias = Annotated[str | None, typer.Option(help="Model of its runs; unset: the agent's.")]
Label: TypeAlias = Annotated[list[str] | None, typer.Option(help="KEY=VALUE, kept with it; may be given again.")]
RequestId: TypeAlias = Annotated[
    str | None, typer.Option(help="Name of this request: sent again, it is the same conversation.")
]

conversations = typer.Typer(no_args_is_help=True, help="Conversations beside the agents' own.")

_MOST_PER_PAGE = 1000


@conversations.command("create")
def create(
    context: typer.Context,
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="Id of the agent.")],
    summary: Summary = None,
    model: Model = None,
    label: Label = None,
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """Begin a conversation with an agent; prints its id."""
    fields: ConversationFields = {"summary": summary, "model": model, "labels": labels(label)}
    with session(context).client() as client:
        made = client.create_conversation(agent, request_id=request_id, **fields)
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
        if as_json:
            for each in found:
                output.line(each)
        else:
            output.table(("CONVERSATION", "SUMMARY", "LAST MESSAGE", "QUEUED", "AGENT"), map(_row, found))


@conversations.command("show")
def show(context: typer.Context, conversation_id: ConversationId, as_json: Json = False) -> None:
    """Show a conversation."""
    with session(context).client() as client:
        conversation = client.get_conversation(conversation_id)
    if as_json:
        output.document(conversation)
    else:
        output.fields(wording.conversation_fields(conversation))


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
    if as_json:
        for each in found:
            output.line(each)
    else:
        output.table(("KIND", "TEXT"), map(wording.message, found))


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
def reset(context: typer.Context, conversation_id: AnyConversation, agent: OfAgent = None) -> None:
    """Show the model nothing of what was said so far; what is pending is denied. Messages stay readable."""
    with session(context).client() as client:
        client.reset_conversation(conversation_id, agent_id=agent)


@conversations.command("rm")
def remove(
    context: typer.Context,
    conversation_id: ConversationId,
    cancel_runs: Annotated[bool, typer.Option("--cancel-runs", help="Cancel its runs first.")] = False,
) -> None:
    """Delete a conversation with its messages and runs."""
    with session(context).client() as client:
        client.delete_conversation(conversation_id, cancel_runs=cancel_runs)


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
