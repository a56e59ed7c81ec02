"""A server that is ended with SIGKILL around a compaction repeats it or finds it done, never half."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc.aio
import pytest

from sendoff import v1
from tests.faults.caller import PATIENCE_S, Caller, calling, is_passing, patiently
from tests.faults.run_log import Screen, check_log, kinds
from tests.fixtures.fake_providers import FakeProviders, Json, Reply, fake_providers
from tests.fixtures.server import ServerProcess

WORDS = "Seven lanterns burn at the quiet harbour until the morning comes. " * 6
STALLED = Reply(break_after=0, then="stall")
SUMMARY = Reply(text=("They spoke of lanterns.",), usage={"prompt_tokens": 700, "completion_tokens": 6})
ANSWER = Reply(text=(WORDS,), usage=None)


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeProviders]:
    """A provider that servers in processes of their own find, with a model that has a small window."""
    async with fake_providers() as made:
        made.models = [{"id": "small", "context_window": 1_000}]
        made.reply = ANSWER
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{made.url}/v1")
        yield made


def is_asked_for_summary(body: Json) -> bool:
    return bool(body["messages"][0]["content"].startswith("You shorten"))


async def fill_up(caller: Caller, agent: str) -> None:
    for _ in range(4):
        run = await caller.ended((await caller.send(agent, WORDS)).id)
        assert run.status == v1.RUN_STATUS_COMPLETED, run


def shown(provider: FakeProviders) -> list[str]:
    return [message["content"] for message in provider.last.body["messages"]]


@pytest.mark.parametrize("stalls", ["summary", "answer"])
async def test_a_killed_compaction_is_there_once_and_whole(
    stalls: str, provider: FakeProviders, server_process: ServerProcess
) -> None:
    """Killed while the summary is written, or right after it is durable, while the answer is."""
    await server_process.start()
    async with calling(server_process.address) as caller:
        agent = await caller.agent("openai/small")
        await fill_up(caller, agent)

        def until_killed(body: Json) -> Reply:
            if is_asked_for_summary(body):
                return STALLED if stalls == "summary" else SUMMARY
            return STALLED

        def later(body: Json) -> Reply:
            assert stalls == "summary" or not is_asked_for_summary(body), "the summary is durable"
            return SUMMARY if is_asked_for_summary(body) else ANSWER

        provider.choose = until_killed
        run = await caller.send(agent, f"4: {WORDS}", include_compaction_messages=True)
        screen = Screen()
        watching = asyncio.create_task(screen.follow(caller.watch(run.id, include_deltas=True)))
        await patiently(provider.stalled.get())
        before = await caller.messages(run.id)
        assert kinds(before)[1:] == ([] if stalls == "summary" else ["event_message", "summary_message"])
        await server_process.kill()
        await asyncio.gather(watching, return_exceptions=True)
        provider.choose = later
        await server_process.start()

        ended = await caller.ended(run.id)
        assert (ended.status, ended.attempt) == (v1.RUN_STATUS_COMPLETED, 2), ended
        log = await caller.log(run.id)
        check_log(ended, log)
        messages = await caller.messages(run.id)
        assert kinds(messages) == ["user_message", "event_message", "summary_message", "assistant_message"]
        assert messages[: len(before)] == before
        assert [event.message for event in log if event.HasField("message")] == messages
        contents = shown(provider)
        assert "They spoke of lanterns." in contents[1]
        assert contents[-1].endswith(f"4: {WORDS}")
        assert ended.usage.prompt_tokens == 700, "the summary that came is counted, once"
        screen.reconnect()
        await screen.follow(caller.watch(run.id, after_sequence=screen.last_sequence, include_deltas=True))
        assert screen.events == log

        following = await caller.ended((await caller.send(agent, "short")).id)
        assert following.status == v1.RUN_STATUS_COMPLETED
        assert shown(provider)[1] == contents[1], "later runs are shown the same summary"


async def test_a_compaction_that_was_asked_for_goes_on_after_a_kill_and_is_made_once(
    provider: FakeProviders, server_process: ServerProcess
) -> None:
    """Killed while the summary is written. Whoever asks again by the same name gets the one that came of it."""
    provider.models = [{"id": "small", "context_window": 100_000}]
    await server_process.start()
    async with calling(server_process.address) as caller:
        agent = await caller.agent("openai/small")
        await fill_up(caller, agent)
        before = await listed(caller, agent)
        provider.choose = lambda body: STALLED if is_asked_for_summary(body) else ANSWER
        request = v1.CompactConversationRequest(conversation_id="default", agent_id=agent, request_id="mine")
        asked = asyncio.ensure_future(caller.conversations.CompactConversation(request, timeout=PATIENCE_S))
        await patiently(provider.stalled.get())
        (run,) = await caller.list_all(agent_id=agent, active=True)
        await server_process.kill()
        assert is_passing(await failure_of(asked))
        provider.choose = lambda body: SUMMARY if is_asked_for_summary(body) else ANSWER
        await server_process.start()

        done = await caller.conversations.CompactConversation(request, timeout=PATIENCE_S)
        assert (done.run_id, done.summary) == (run.id, "They spoke of lanterns.")
        ended = await caller.get(run.id)
        assert (ended.status, ended.attempt) == (v1.RUN_STATUS_COMPLETED, 2)
        check_log(ended, await caller.log(run.id))
        after = await listed(caller, agent)
        assert after[:-1] == before
        assert after[-1].run_id == run.id
        await server_process.kill()
        provider.choose = None
        await server_process.start()
        assert await caller.conversations.CompactConversation(request, timeout=PATIENCE_S) == done
        assert await listed(caller, agent) == after
        await caller.ended((await caller.send(agent, "short")).id)
        contents = shown(provider)
        assert "They spoke of lanterns." in contents[1]
        assert len(contents) == done.num_messages_after + 1


async def test_a_reset_that_was_told_of_is_there_after_a_kill(
    provider: FakeProviders, server_process: ServerProcess
) -> None:
    await server_process.start()
    async with calling(server_process.address) as caller:
        agent = await caller.agent("openai/small")
        await caller.ended((await caller.send(agent, "one")).id)
        request = v1.ResetConversationRequest(conversation_id="default", agent_id=agent)
        await caller.conversations.ResetConversation(request, timeout=PATIENCE_S)
        await server_process.kill()
        await server_process.start()
        await caller.ended((await caller.send(agent, "two")).id)
        assert shown(provider)[1:] == ["two"]


async def listed(caller: Caller, agent: str) -> list[v1.Message]:
    request = v1.ListMessagesRequest(conversation_id="default", agent_id=agent, order_by="position")
    return list((await caller.conversations.ListMessages(request, timeout=PATIENCE_S)).messages)


async def failure_of(asked: asyncio.Future[v1.CompactConversationResponse]) -> grpc.aio.AioRpcError:
    try:
        answer = await asked
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError(f"it was answered: {answer}")
