"""Messages of an agent's conversations in the order of time, and the pages that the API's cursors ask for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import nanoseconds
from sendoff_server.errors import MessageNotFound
from sendoff_server.gateway.doors import TENANT
from sendoff_server.use_cases import UseCases

Entries = list[v1.Message]
"""The entries of one message, which share its id."""

MOST_LOOKED_AT = 20_000
"""Messages that one page may cost; a cursor behind that is not found."""
_PAGE = 200


async def conversations_of(use_cases: UseCases, agent_id: str) -> list[str]:
    """The agent's conversations, the default one first."""
    found = ["default"]
    wanted = v1.ListConversationsRequest(agent_id=agent_id, page_size=100)
    while True:
        page = await use_cases.conversations.list(TENANT, wanted)
        found += [conversation.id for conversation in page.conversations]
        if not page.next_page_token:
            return found
        wanted.page_token = page.next_page_token


async def page_of(
    messages: AsyncGenerator[Entries], *, begin: str | None, end: str | None, limit: int, where: str
) -> list[Entries]:
    """Up to so many messages, those behind `begin` and in front of `end`, in the order in which they come. Raises
    MessageNotFound for a `begin` that does not come."""
    found: list[Entries] = []
    begun, looked_at = begin is None, 0
    async with aclosing(messages):
        async for entries in messages:
            looked_at += 1
            if entries[0].id == end or len(found) == limit or looked_at > MOST_LOOKED_AT:
                break
            if begun:
                found.append(entries)
            begun = begun or entries[0].id == begin
    if not begun:
        raise MessageNotFound(begin or "", where)
    return found


async def in_time(
    use_cases: UseCases, agent: v1.Agent, conversation_ids: Sequence[str], *, newest_first: bool
) -> AsyncGenerator[Entries]:
    """The messages of these conversations; the agent's system prompt is the oldest."""
    system = [system_entry(agent)]
    if not newest_first:
        yield system
    lanes = [_messages(use_cases, agent.id, each, newest_first=newest_first) for each in conversation_ids]
    async for entries in _merged(lanes, newest_first=newest_first):
        yield entries
    if newest_first:
        yield system


def system_entry(agent: v1.Agent) -> v1.Message:
    """The system prompt as a message that is always the same one."""
    entry = v1.Message(id=ids.derive("message", agent.id, "system"), agent_id=agent.id, create_time=agent.create_time)
    entry.system_message.content = agent.system
    return entry


async def _merged(lanes: Sequence[AsyncIterator[Entries]], *, newest_first: bool) -> AsyncIterator[Entries]:
    heads = [(lane, await anext(lane, None)) for lane in lanes]
    waiting = [(lane, head) for lane, head in heads if head is not None]
    choose = max if newest_first else min
    while waiting:
        at = choose(range(len(waiting)), key=lambda place: nanoseconds(waiting[place][1][0].create_time))
        lane, head = waiting.pop(at)
        yield head
        following = await anext(lane, None)
        if following is not None:
            waiting.insert(at, (lane, following))


async def _messages(
    use_cases: UseCases, agent_id: str, conversation_id: str, *, newest_first: bool
) -> AsyncIterator[Entries]:
    order = "position desc" if newest_first else "position asc"
    wanted = v1.ListMessagesRequest(conversation_id=conversation_id, agent_id=agent_id, page_size=_PAGE, order_by=order)
    group: Entries = []
    while True:
        page = await use_cases.conversations.list_messages(TENANT, wanted)
        for entry in page.messages:
            if group and group[0].id != entry.id:
                yield group
                group = []
            group = [entry, *group] if newest_first else [*group, entry]
        if not page.next_page_token:
            break
        wanted.page_token = page.next_page_token
    if group:
        yield group
