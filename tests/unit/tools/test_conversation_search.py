"""A search finds what was said, newest first, and says how far it looked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from sendoff import v1
from sendoff_server.tools import conversation_search
from sendoff_server.tools.conversation_search import read_wanted, search
from sendoff_server.tools.memory_port import Messages

NONE = "Earlier messages of this conversation that match, newest first: none"


class Conversation(Messages):
    """Messages of a test, one a minute, with positions 1, 2, 3, ..."""

    def __init__(self, *messages: v1.Message) -> None:
        self._messages = messages
        self.read = 0
        for number, message in enumerate(messages, 1):
            message.id = message.id or f"message-{number}"
            message.position = number
            if not message.HasField("create_time"):
                message.create_time.FromDatetime(datetime(2026, 3, 4, 10, number % 60))

    async def before(self, tenant: str, lane: str, position: int, limit: int) -> Sequence[v1.Message]:
        assert (tenant, lane) == ("t", "lane")
        found = [message for message in self._messages if message.position < position][-limit:][::-1]
        self.read += len(found)
        return found

    async def find(self, position: int = 1_000_000, **arguments: Any) -> str:
        return await search(self, "t", "lane", position, read_wanted({"query": ""} | arguments))

    async def found(self, position: int = 1_000_000, **arguments: Any) -> list[str]:
        """Ids."""
        lines = (await self.find(position, **arguments)).splitlines()
        return [line.split(", ")[1].rstrip(":") for line in lines if line.startswith("[")]


def user(text: str) -> v1.Message:
    return v1.Message(user_message=v1.UserMessage(content=v1.Content(text=text)))


def assistant(text: str) -> v1.Message:
    parts = [v1.ContentPart(text=v1.Text(text=text)), v1.ContentPart(image=v1.Image())]
    content = v1.Content(parts=v1.Content.Parts(parts=parts))
    return v1.Message(assistant_message=v1.AssistantMessage(content=content))


def calls(name: str, arguments: str) -> v1.Message:
    call = v1.ToolCall(tool_call_id="c", name=name, arguments=arguments)
    return v1.Message(tool_call_message=v1.ToolCallMessage(tool_calls=[call]))


def returns(text: str) -> v1.Message:
    returned = v1.ToolReturn(tool_call_id="c", tool_return=v1.Content(text=text))
    return v1.Message(tool_return_message=v1.ToolReturnMessage(tool_returns=[returned]))


async def test_messages_are_told_with_date_role_and_id_newest_first() -> None:
    talk = Conversation(user("My name is Zoë."), assistant("Hello Zoë!"), user("Bye."))
    assert await talk.find(query="ZOË") == (
        "Earlier messages of this conversation that match, newest first: 2\n\n"
        "[2026-03-04T10:02:00Z] assistant, message-2:\nHello Zoë!\n\n"
        "[2026-03-04T10:01:00Z] user, message-1:\nMy name is Zoë."
    )


async def test_all_words_must_stand_in_it_in_whatever_order() -> None:
    talk = Conversation(user("The red house"), user("A house, reddish"), user("red"))
    assert await talk.found(query="house RED") == ["message-2", "message-1"]
    assert await talk.find(query="green house") == NONE


async def test_without_words_every_message_matches() -> None:
    assert await Conversation(user("a"), assistant("b")).found(query=" ") == ["message-2", "message-1"]


async def test_what_comes_after_the_call_is_not_looked_at() -> None:
    talk = Conversation(user("tea"), user("tea"), user("tea"))
    assert await talk.found(position=3, query="tea") == ["message-2", "message-1"]


@pytest.mark.parametrize(
    ("roles", "found"),
    [
        (["user"], ["message-1"]),
        (["assistant"], ["message-2"]),
        (["tool"], ["message-4", "message-3"]),
        (["system"], ["message-5"]),
        (["user", "assistant"], ["message-2", "message-1"]),
        ([], ["message-5", "message-4", "message-3", "message-2", "message-1"]),
        (None, ["message-5", "message-4", "message-3", "message-2", "message-1"]),
    ],
)
async def test_roles_are_those_asked_for(roles: list[str] | None, found: list[str]) -> None:
    system = v1.Message(system_message=v1.SystemMessage(content="tea rules"))
    talk = Conversation(user("tea"), assistant("tea"), calls("shop", '{"buy": "tea"}'), returns("tea bought"), system)
    assert await talk.found(query="tea", roles=roles) == found


async def test_what_nobody_said_is_not_found() -> None:
    compaction = user("tea")
    compaction.context_start = 1
    earlier = await Conversation(user("tea")).find(query="tea")
    talk = Conversation(
        compaction,
        v1.Message(reasoning_message=v1.ReasoningMessage(reasoning="tea")),
        v1.Message(summary_message=v1.SummaryMessage(summary="tea")),
        v1.Message(event_message=v1.EventMessage(event_type="tea")),
        calls("conversation_search", '{"query": "tea"}'),
        returns(earlier),
    )
    assert await talk.find(query="tea") == NONE


@pytest.mark.parametrize(
    ("dates", "found"),
    [
        ({"start_date": "2026-03-04T10:02:00Z"}, ["message-3", "message-2"]),
        ({"end_date": "2026-03-04T10:02:00Z"}, ["message-2", "message-1"]),
        ({"start_date": "2026-03-04T11:02:00+01:00", "end_date": "2026-03-04 10:02"}, ["message-2"]),
        ({"start_date": "2026-03-04", "end_date": "2026-03-04"}, ["message-3", "message-2", "message-1"]),
        ({"end_date": "2026-03-03"}, []),
        ({"start_date": "2026-03-05"}, []),
        ({"start_date": "", "end_date": None}, ["message-3", "message-2", "message-1"]),
        (
            {"start_date": "0001-01-01T00:00:00+23:00", "end_date": "9999-12-30"},
            ["message-3", "message-2", "message-1"],
        ),
    ],
)
async def test_dates_are_included(dates: dict[str, Any], found: list[str]) -> None:
    assert await Conversation(user("a"), user("b"), user("c")).found(**dates) == found


async def test_when_there_are_more_it_says_where_to_go_on() -> None:
    talk = Conversation(*(user(f"tea {number}") for number in range(7)))
    told = await talk.find(query="tea")
    assert "newest first: 5\n" in told
    assert told.endswith("There are more. To see older ones, search again with end_date 2026-03-04T10:02:00Z.")
    assert await talk.found(query="tea", end_date="2026-03-04T10:02:00Z") == ["message-2", "message-1"]


async def test_exactly_as_many_as_wanted_are_not_said_to_be_more() -> None:
    assert "There are more" not in await Conversation(user("tea"), user("tea")).find(query="tea", limit=2)


async def test_a_search_ends_after_so_many_messages_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation_search, "MOST_MESSAGES", 400)
    talk = Conversation(user("needle"), *(user("hay") for _ in range(600)))
    told = await talk.find(query="needle")
    assert talk.read == 400
    assert told == (
        f"{NONE}\n\nThe newest 400 messages were looked through, back to 2026-03-04T10:22:00Z. Older ones were not."
    )


async def test_a_search_ends_after_so_many_bytes_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation_search, "MOST_BYTES", 100_000)
    talk = Conversation(user("needle"), *(user("hay" * 1_000) for _ in range(600)))
    assert "The newest 200 messages" in await talk.find(query="needle")


async def test_a_conversation_is_looked_through_to_its_beginning() -> None:
    talk = Conversation(user("needle"), *(user("hay") for _ in range(600)))
    assert await talk.found(query="NEEDLE") == ["message-1"]
    assert "were not" not in await talk.find(query="NEEDLE")


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (0, 5_000, ("needle", " …")),
        (5_000, 5_000, ("… ", " …")),
        (5_000, 0, ("… ", "needle")),
    ],
)
async def test_of_a_long_message_the_part_around_the_first_word_is_shown(
    before: int, after: int, shown: tuple[str, str]
) -> None:
    text = ("hay " * before + "needle" + " hay" * after).strip()
    told = (await Conversation(user(text)).find(query="Needle")).partition("message-1:\n")[2]
    assert "needle" in told
    assert told.startswith(shown[0])
    assert told.endswith(shown[1])
    assert len(told) <= conversation_search.SHOWN_CHARACTERS + 4
