"""A directory answers as the store would, and asks it once."""

from __future__ import annotations

from typing import cast

import pytest

from sendoff import v1
from sendoff_server.agents.directory import ConversationDirectory
from sendoff_server.errors import ConversationNotFound, InvalidRequest
from sendoff_server.store.port import Store


class ConversationStore:
    def __init__(self) -> None:
        self.is_alone = True
        self.asked: list[tuple[str, str]] = []
        self.stored = {("one", f"conv-{name}"): f"agent-{name[0]}" for name in ("a1", "a2", "b1")}

    async def conversation(self, tenant: str, conversation_id: str) -> v1.Conversation | None:
        self.asked.append((tenant, conversation_id))
        agent_id = self.stored.get((tenant, conversation_id))
        return v1.Conversation(id=conversation_id, agent_id=agent_id) if agent_id else None


@pytest.fixture
def store() -> ConversationStore:
    return ConversationStore()


@pytest.fixture
def directory(store: ConversationStore) -> ConversationDirectory:
    return ConversationDirectory(cast(Store, store))


async def test_a_conversation_is_read_once_per_tenant(
    directory: ConversationDirectory, store: ConversationStore
) -> None:
    for _ in range(2):
        assert (await directory.find_of("one", "conv-a1", "")).agent_id == "agent-a"
        with pytest.raises(ConversationNotFound):
            await directory.find_of("two", "conv-a1", "")
    assert store.asked == [("one", "conv-a1"), ("two", "conv-a1"), ("two", "conv-a1")]


async def test_a_conversation_is_found_only_under_its_own_agent(directory: ConversationDirectory) -> None:
    assert (await directory.find_of("one", "conv-a1", "agent-a")).id == "conv-a1"
    with pytest.raises(InvalidRequest) as raised:
        await directory.find_of("one", "conv-a1", "agent-b")
    assert [violation.field for violation in raised.value.violations] == ["agent_id"]


async def test_conversations_of_a_deleted_agent_are_forgotten_and_no_others(
    directory: ConversationDirectory, store: ConversationStore
) -> None:
    for name in ("a1", "a2", "b1"):
        await directory.find("one", f"conv-{name}")
    store.stored.clear()
    directory.forget_agent("agent-a")
    for name in ("a1", "a2"):
        with pytest.raises(ConversationNotFound):
            await directory.find("one", f"conv-{name}")
    assert (await directory.find("one", "conv-b1")).agent_id == "agent-b"


async def test_where_others_write_too_nothing_is_remembered(
    directory: ConversationDirectory, store: ConversationStore
) -> None:
    store.is_alone = False
    directory.remember("one", v1.Conversation(id="conv-a1", agent_id="agent-old"))
    assert (await directory.find("one", "conv-a1")).agent_id == "agent-a"
    store.stored["one", "conv-a1"] = "agent-new"
    assert (await directory.find("one", "conv-a1")).agent_id == "agent-new"
