"""A conversation outgrows its model's window, and goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sendoff import v1
from sendoff_server.context import compaction, context, summary
from sendoff_server.lifecycle import output_position
from sendoff_server.models.port import ModelCall
from sendoff_server.models.scripted import SMALL, SMALL_WINDOW
from sendoff_server.settings import Settings
from tests.faults.caller import Caller, calling, patiently, script
from tests.faults.gated import hold_calls
from tests.faults.run_log import check_log, kinds
from tests.fixtures.fake_providers import FakeProviders, Json, Reply
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve
from tests.service.test_loop import before_a_provider

WORDS = "Seven lanterns burn at the quiet harbour until the morning comes. " * 6
"""About 100 tokens, and as many in the echo of it: four turns fill the window of the small model."""
OVERFLOW = v1.STOP_REASON_CONTEXT_WINDOW_OVERFLOW_IN_SYSTEM_PROMPT
ASKS_FOR_SUMMARY = "You shorten conversations"


def is_summary(call: ModelCall) -> bool:
    return call.system.startswith(ASKS_FOR_SUMMARY)


class Gate(HeldCalls):
    """Notes every call, and holds those for a summary while it is told to."""

    def __init__(self) -> None:
        super().__init__(lambda call, sent: self.holds_summaries and sent == 0 and is_summary(call))
        self.holds_summaries = False

    def calls(self) -> list[ModelCall]:
        """Those that have begun since it was asked last."""
        return [self.begun.get_nowait() for _ in range(self.begun.qsize())]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    made = Gate()
    hold_calls(monkeypatch, made)
    return made


@pytest.fixture
async def caller(gate: Gate, serve: Serve) -> AsyncIterator[Caller]:
    async with serve() as server, calling(server.grpc.address) as connected:
        yield connected


async def say(caller: Caller, agent: str, text: str, **fields: Any) -> v1.Run:
    run = await caller.ended((await caller.send(agent, text, **fields)).id)
    check_log(run, await caller.log(run.id))
    return run


async def fill_up(caller: Caller, agent: str, turns: int = 4) -> None:
    for number in range(turns):
        run = await say(caller, agent, f"{number}: {WORDS}")
        assert run.status == v1.RUN_STATUS_COMPLETED, run
        assert len(await caller.messages(run.id)) == 2, "compacted too early"


def texts_shown(call: ModelCall) -> list[str]:
    return [
        message.summary_message.summary or message.user_message.content.text or message.assistant_message.content.text
        for message in call.messages
    ]


async def test_older_messages_become_a_summary_and_the_run_goes_on(caller: Caller, gate: Gate) -> None:
    agent = await caller.agent(SMALL)
    await fill_up(caller, agent)
    gate.calls()
    run = await say(caller, agent, f"4: {WORDS}")
    assert (run.status, run.stop_reason) == (v1.RUN_STATUS_COMPLETED, v1.STOP_REASON_END_TURN)
    asked, answered = gate.calls()
    assert is_summary(asked)
    (transcript,) = texts_shown(asked)
    assert f"user: 0: {WORDS}".strip() in transcript
    shown = texts_shown(answered)
    assert shown[0].startswith(summary.NOTE)
    assert "You said: The conversation to shorten:" in shown[0], "the model's own words are the summary"
    assert shown[1:] == [f"3: {WORDS}", f"You said: 3: {WORDS}", f"4: {WORDS}"]


async def test_a_compaction_is_shown_as_an_alert_to_who_does_not_ask_for_its_kinds(caller: Caller) -> None:
    agent = await caller.agent(SMALL)
    await fill_up(caller, agent)
    run = await say(caller, agent, f"4: {WORDS}")
    messages = await caller.messages(run.id)
    assert kinds(messages) == ["user_message", "user_message", "assistant_message"]
    alert = json.loads(messages[1].user_message.content.text)
    assert list(alert) == ["type", "message", "time", "compaction_stats"]
    assert alert["type"] == "system_alert"
    assert alert["message"].startswith(summary.NOTE)
    stats = alert["compaction_stats"]
    assert (stats["trigger"], stats["context_window"]) == ("post_step_context_check", SMALL_WINDOW)
    assert stats["context_tokens_before"] > SMALL_WINDOW * 0.9
    assert stats["context_tokens_after"] <= SMALL_WINDOW * 0.5
    assert (stats["messages_count_before"], stats["messages_count_after"]) == (9, 4)
    log = await caller.log(run.id)
    assert [event.message for event in log if event.HasField("message")] == messages


async def test_a_compaction_is_shown_as_kinds_of_its_own_to_who_asks_for_them(caller: Caller) -> None:
    agent = await caller.agent(SMALL)
    await fill_up(caller, agent)
    run = await say(caller, agent, f"4: {WORDS}", include_compaction_messages=True)
    messages = await caller.messages(run.id)
    assert kinds(messages) == ["user_message", "event_message", "summary_message", "assistant_message"]
    assert len({message.id for message in messages}) == 4
    assert [message.step_id for message in messages[1:]] == [messages[3].step_id] * 3
    _, event, told, _ = messages
    assert event.event_message.event_type == "compaction"
    data = json.loads(event.event_message.event_data.json)
    stats = json.loads(told.summary_message.compaction_stats.json)
    assert data == {
        "trigger": stats["trigger"],
        "context_token_estimate": stats["context_tokens_before"],
        "context_window": SMALL_WINDOW,
    }
    assert told.summary_message.summary.startswith("You said: ")
    log = await caller.log(run.id)
    assert [each.message for each in log if each.HasField("message")] == messages
    assert v1.RUN_PHASE_COMPACTING in [each.state_changed.phase for each in log]


async def test_types_that_were_not_asked_for_are_left_out_of_the_list(caller: Caller) -> None:
    agent = await caller.agent(SMALL)
    await fill_up(caller, agent)
    wanted = v1.MessageTypes(values=[v1.MESSAGE_TYPE_SUMMARY_MESSAGE])
    run = await say(caller, agent, f"4: {WORDS}", include_compaction_messages=True, include_return_message_types=wanted)
    assert kinds(await caller.messages(run.id)) == ["summary_message"]


async def test_the_summary_counts_for_the_run_and_not_as_a_step(caller: Caller) -> None:
    agent = await caller.agent(SMALL)
    await fill_up(caller, agent)
    run = await say(caller, agent, f"4: {WORDS}")
    (step,) = [event.step_finished for event in await caller.log(run.id) if event.HasField("step_finished")]
    assert run.usage.step_count == 1
    assert run.usage.prompt_tokens > step.usage.prompt_tokens + 300, "the summary read four turns"
    assert run.usage.context_tokens == step.usage.total_tokens


@pytest.mark.parametrize("include", [False, True])
async def test_later_runs_are_shown_summary_and_what_was_kept_also_after_a_restart(
    include: bool, gate: Gate, serve: Serve
) -> None:
    async with serve() as server, calling(server.grpc.address) as caller:
        agent = await caller.agent(SMALL)
        await fill_up(caller, agent)
        await say(caller, agent, f"4: {WORDS}", include_compaction_messages=include)
        shown = texts_shown(gate.calls()[-1])
        await say(caller, agent, "short", include_compaction_messages=include)
        (call,) = gate.calls()
        assert texts_shown(call) == [*shown, f"You said: 4: {WORDS}", "short"]
    async with serve() as server, calling(server.grpc.address) as caller:
        await say(caller, agent, "again")
        (later,) = gate.calls()
        assert texts_shown(later) == [*texts_shown(call), "You said: short", "again"]


async def forked(caller: Caller, agent: str, at: v1.Message | None = None) -> str:
    """A fork of the agent's default conversation that ends with that message."""
    ask = v1.ForkConversationRequest(conversation_id="default", agent_id=agent, at_message_id=at.id if at else None)
    return (await caller.conversations.ForkConversation(ask)).id


async def test_a_fork_goes_on_from_a_compaction_that_it_inherited_and_from_no_later_one(
    caller: Caller, gate: Gate
) -> None:
    agent = await caller.agent(SMALL)
    await fill_up(caller, agent)
    run = await say(caller, agent, f"4: {WORDS}")
    said, compacted, _ = await caller.messages(run.id)
    shown = texts_shown(gate.calls()[-1])

    for at, expected in ((compacted, shown), (None, [*shown, f"You said: 4: {WORDS}"])):
        await say(caller, "", "short", conversation_id=await forked(caller, agent, at))
        (call,) = gate.calls()
        assert texts_shown(call) == [*expected, "short"]

    before = await forked(caller, agent, said)
    own = await say(caller, "", f"5: {WORDS}", conversation_id=before)
    asked, answered = gate.calls()
    assert is_summary(asked)
    for number in (1, 2):
        assert f"user: {number}: {WORDS}".strip() in texts_shown(asked)[0], "what was summarized later is itself here"
    assert summary.NOTE not in texts_shown(asked)[0]
    assert {message.conversation_id for message in await caller.messages(own.id)} == {before}

    await say(caller, "", "short", conversation_id=before)
    await say(caller, agent, "short")
    of_fork, of_source = gate.calls()
    assert texts_shown(of_fork) == [*texts_shown(answered), f"You said: 5: {WORDS}", "short"]
    assert texts_shown(of_source) == [*shown, f"You said: 4: {WORDS}", "short"]


async def test_a_compacted_fork_is_the_same_after_a_restart_and_without_its_source(gate: Gate, serve: Serve) -> None:
    async with serve() as server, calling(server.grpc.address) as caller:
        agent = await caller.agent(SMALL)
        source = await caller.conversation(agent)
        for number in range(4):
            await say(caller, "", f"{number}: {WORDS}", conversation_id=source)
        ask = v1.ForkConversationRequest(conversation_id=source)
        fork = (await caller.conversations.ForkConversation(ask)).id
        await say(caller, "", f"4: {WORDS}", conversation_id=fork)
        shown = texts_shown(gate.calls()[-1])
        assert shown[0].startswith(summary.NOTE)
        assert shown[1] == f"3: {WORDS}", "kept, and inherited"
        await caller.conversations.DeleteConversation(v1.DeleteConversationRequest(conversation_id=source))
    async with serve() as server, calling(server.grpc.address) as caller:
        await say(caller, "", "again", conversation_id=fork)
        (call,) = gate.calls()
        assert texts_shown(call) == [*shown, f"You said: 4: {WORDS}", "again"]


async def test_a_conversation_is_compacted_again_and_again_and_nothing_is_deleted(caller: Caller, gate: Gate) -> None:
    agent = await caller.agent(SMALL)
    runs = []
    for number in range(16):
        runs.append(await say(caller, agent, f"{number}: {WORDS}"))
        for call in gate.calls():
            assert sum(len(text.encode()) for text in texts_shown(call)) / 4 <= SMALL_WINDOW
            if not is_summary(call):
                assert sum(each.HasField("summary_message") for each in call.messages) <= 1
                assert texts_shown(call)[-1] == f"{number}: {WORDS}"
            elif number > 5:
                assert summary.NOTE in texts_shown(call)[0], "an earlier summary is summarized with what followed"
    assert all(run.status == v1.RUN_STATUS_COMPLETED for run in runs)
    written = [await caller.messages(run.id) for run in runs]
    compacted = [number for number, messages in enumerate(written) if len(messages) == 3]
    assert len(compacted) >= 3
    assert [messages[0].user_message.content.text for messages in written] == [f"{n}: {WORDS}" for n in range(16)]


async def test_a_run_is_cancelled_while_the_summary_is_written_and_the_next_one_compacts(
    caller: Caller, gate: Gate
) -> None:
    agent = await caller.agent(SMALL)
    await fill_up(caller, agent)
    gate.holds_summaries = True
    run = await caller.send(agent, f"4: {WORDS}")
    await patiently(gate.held.get())
    assert (await caller.get(run.id)).phase == v1.RUN_PHASE_COMPACTING
    async with asyncio.timeout(1):
        await caller.cancel(run.id)
        ended = await caller.ended(run.id)
    assert ended.status == v1.RUN_STATUS_CANCELLED
    assert gate.under_way == 0
    check_log(ended, await caller.log(run.id))
    assert kinds(await caller.messages(run.id)) == ["user_message"]
    gate.holds_summaries = False
    following = await say(caller, agent, "5: short")
    assert following.status == v1.RUN_STATUS_COMPLETED
    assert kinds(await caller.messages(following.id)) == ["user_message", "user_message", "assistant_message"]


@pytest.mark.parametrize("times", [1.05, 1.15, 1.3, 40])
@pytest.mark.parametrize("turns", [0, 2])
async def test_a_system_prompt_that_does_not_fit_fails_the_run_and_says_how_large_it_is(
    times: float, turns: int, caller: Caller
) -> None:
    """Also where the provider, and not our guess, has the last word."""
    agent = await caller.agent(SMALL)
    await fill_up(caller, agent, turns)
    run = await say(caller, agent, "Hi", override_system="word " * int(SMALL_WINDOW * times * 4 / 5))
    assert (run.status, run.stop_reason) == (v1.RUN_STATUS_FAILED, OVERFLOW)
    assert (run.error.reason, run.error.retryable) == ("CONTEXT_OVERFLOW", False)
    assert int(run.error.metadata["tokens"]) == pytest.approx(SMALL_WINDOW * times, rel=0.12)
    assert run.error.metadata["context_window"] == str(SMALL_WINDOW)
    assert run.error.metadata["tokens"] in run.error.message
    assert str(SMALL_WINDOW) in run.error.message
    assert (await say(caller, agent, "Hi again")).status == v1.RUN_STATUS_COMPLETED


async def test_an_input_that_surely_does_not_fit_is_not_sent(caller: Caller, gate: Gate) -> None:
    agent = await caller.agent(SMALL)
    run = await say(caller, agent, "word " * SMALL_WINDOW * 2)
    assert (run.status, run.stop_reason) == (v1.RUN_STATUS_FAILED, OVERFLOW)
    assert gate.calls() == []


async def test_an_input_that_was_too_large_does_not_block_the_conversation(caller: Caller) -> None:
    agent = await caller.agent(SMALL)
    await say(caller, agent, "word " * SMALL_WINDOW * 2)
    following = await say(caller, agent, script(text="I go on."))
    assert following.status == v1.RUN_STATUS_COMPLETED
    assert (await caller.messages(following.id))[-1].assistant_message.content.text == "I go on."


async def test_messages_that_are_too_large_to_be_read_are_told_of(
    caller: Caller, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a conversation with many pictures has grown without a compaction."""
    agent = await caller.agent(SMALL)
    await fill_up(caller, agent, 3)
    monkeypatch.setattr(context, "MAX_HISTORY_BYTES", 1_600)
    gate.calls()
    run = await say(caller, agent, "short", include_compaction_messages=True)
    assert run.status == v1.RUN_STATUS_COMPLETED
    told = (await caller.messages(run.id))[2].summary_message.summary
    assert told.endswith(summary.GAP)
    monkeypatch.undo()
    await say(caller, agent, "short")
    assert summary.GAP in texts_shown(gate.calls()[-1])[0]


async def test_a_compaction_that_finds_no_place_any_more_fails_the_run(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after many crashes in the same step, each behind another compaction."""
    agent = await caller.agent(SMALL)
    await fill_up(caller, agent)
    monkeypatch.setattr(compaction, "compaction_position", lambda seq, step: output_position(seq, step, 0) - 1)
    run = await say(caller, agent, WORDS)
    assert (run.status, run.stop_reason) == (v1.RUN_STATUS_FAILED, OVERFLOW)


# ---- before a provider ----


@asynccontextmanager
async def small_provider(
    settings: Settings, window: int = SMALL_WINDOW
) -> AsyncIterator[tuple[Caller, FakeProviders, str]]:
    """A caller, a provider whose model has that window, and an agent with it."""
    async with before_a_provider(settings) as (caller, provider):
        provider.models = [{"id": "small", **({"context_window": window} if window else {})}]
        yield caller, provider, await caller.agent("openai/small")


def is_asked_for_summary(body: Json) -> bool:
    content = body["messages"][0]["content"]
    return bool(content.startswith(ASKS_FOR_SUMMARY))


def told_to(of_summary: Reply | list[Reply], answer: Reply) -> Callable[[Json], Reply]:
    """What to say when asked for a summary (in that order, the last again and again), and else."""
    replies = of_summary if isinstance(of_summary, list) else [of_summary]

    def choose(body: Json) -> Reply:
        if is_asked_for_summary(body):
            return replies.pop(0) if len(replies) > 1 else replies[0]
        return answer

    return choose


UNCOUNTED = Reply(text=(WORDS,), usage=None)
BUSY = Reply(status=429, error=("rate_limit_exceeded", "slow down"), headers={"retry-after": "0"})
QUOTA = Reply(status=429, error=("insufficient_quota", "pay first"))
REJECTED = Reply(status=400, error=("invalid_request_error", "no"))
TOO_LONG = Reply(status=400, error=("context_length_exceeded", "maximum context length is 800 tokens"))


async def test_a_passing_failure_of_the_summary_is_repeated(settings: Settings) -> None:
    async with small_provider(settings) as (caller, provider, agent):
        provider.choose = told_to([BUSY, BUSY, Reply(text=("They spoke of lanterns.",))], UNCOUNTED)
        await fill_up(caller, agent)
        run = await say(caller, agent, WORDS, include_compaction_messages=True)
        told = (await caller.messages(run.id))[2].summary_message
        assert told.summary == "They spoke of lanterns."
        phases = [event.state_changed.phase for event in await caller.log(run.id) if event.HasField("state_changed")]
        backing_off, compacting = v1.RUN_PHASE_BACKING_OFF, v1.RUN_PHASE_COMPACTING
        assert phases[-5:] == [backing_off, compacting, backing_off, compacting, v1.RUN_PHASE_CALLING_MODEL]


async def test_messages_that_the_model_does_not_summarize_are_left_out_and_the_entries_say_so(
    settings: Settings,
) -> None:
    async with small_provider(settings) as (caller, provider, agent):
        provider.choose = told_to(REJECTED, UNCOUNTED)
        await fill_up(caller, agent)
        run = await say(caller, agent, WORDS, include_compaction_messages=True)
        assert run.status == v1.RUN_STATUS_COMPLETED
        _, event, told, _ = await caller.messages(run.id)
        assert json.loads(event.event_message.event_data.json)["summary_failure"] == "MODEL_REJECTED_REQUEST"
        assert told.summary_message.summary == summary.NO_SUMMARY
        assert provider.last.body["messages"][1]["content"].startswith(summary.NO_SUMMARY)


async def test_a_later_summary_that_fails_keeps_the_words_of_the_earlier_one(settings: Settings) -> None:
    async with small_provider(settings) as (caller, provider, agent):
        provider.choose = told_to([Reply(text=("They spoke of lanterns.",)), REJECTED], UNCOUNTED)
        await fill_up(caller, agent)
        told = []
        for _ in range(9):
            run = await say(caller, agent, WORDS, include_compaction_messages=True)
            told += [each.summary_message.summary for each in (await caller.messages(run.id))[2:3]]
        assert len(told) >= 3
        first, *later = [each for each in told if each]
        assert first == "They spoke of lanterns."
        assert later == [f"They spoke of lanterns.\n\n{summary.LEFT_OUT}"] * len(later)
        assert later


async def test_a_failure_that_the_run_would_meet_as_well_fails_it_and_leaves_the_conversation_as_it_was(
    settings: Settings,
) -> None:
    async with small_provider(settings) as (caller, provider, agent):
        provider.choose = told_to([QUOTA, Reply(text=("They spoke of lanterns.",))], UNCOUNTED)
        await fill_up(caller, agent)
        run = await say(caller, agent, WORDS)
        assert (run.status, run.stop_reason) == (v1.RUN_STATUS_FAILED, v1.STOP_REASON_INSUFFICIENT_CREDITS)
        assert kinds(await caller.messages(run.id)) == ["user_message"]
        following = await say(caller, agent, WORDS, include_compaction_messages=True)
        assert (await caller.messages(following.id))[2].summary_message.summary == "They spoke of lanterns."


async def test_a_summary_that_is_itself_too_large_is_asked_for_less(settings: Settings) -> None:
    async with small_provider(settings) as (caller, provider, agent):
        provider.choose = told_to([TOO_LONG, Reply(text=("They spoke of lanterns.",))], UNCOUNTED)
        await fill_up(caller, agent)
        run = await say(caller, agent, WORDS, include_compaction_messages=True)
        assert (await caller.messages(run.id))[2].summary_message.summary == "They spoke of lanterns."
        first, second = [r.body["messages"][-1]["content"] for r in provider.requests if _is_summary_request(r.body)]
        assert len(second) < len(first) * 0.6


def _is_summary_request(body: Json) -> bool:
    return "messages" in body and is_asked_for_summary(body)


@pytest.mark.parametrize("window", [SMALL_WINDOW * 10, 0], ids=["larger than it says", "unknown"])
async def test_an_overflow_that_the_provider_reports_leads_to_a_compaction_and_an_answer(
    window: int, settings: Settings
) -> None:
    async with small_provider(settings, window) as (caller, provider, agent):

        def choose(body: Json) -> Reply:
            if is_asked_for_summary(body):
                return Reply(text=("They spoke of lanterns.",))
            return TOO_LONG if len(body["messages"]) > 8 else UNCOUNTED

        provider.choose = choose
        await fill_up(caller, agent)
        run = await say(caller, agent, WORDS, include_compaction_messages=True)
        assert run.status == v1.RUN_STATUS_COMPLETED, run
        messages = await caller.messages(run.id)
        assert kinds(messages) == ["user_message", "event_message", "summary_message", "assistant_message"]
        stats = json.loads(messages[2].summary_message.compaction_stats.json)
        assert stats["trigger"] == "context_window_exceeded"
        log = await caller.log(run.id)
        retracted = [event.message_retracted.reason for event in log if event.HasField("message_retracted")]
        assert retracted == ["CONTEXT_OVERFLOW"]
        assert run.usage.step_count == 1
        assert (await say(caller, agent, "short")).status == v1.RUN_STATUS_COMPLETED
        assert len(await caller.messages(run.id)) == 4


async def test_an_overflow_that_a_compaction_does_not_mend_fails_the_run_precisely(settings: Settings) -> None:
    async with small_provider(settings) as (caller, provider, agent):
        provider.reply = UNCOUNTED
        await fill_up(caller, agent, 2)
        provider.choose = told_to(Reply(text=("They spoke of lanterns.",)), TOO_LONG)
        run = await say(caller, agent, "one more")
        assert (run.status, run.stop_reason, run.error.reason) == (v1.RUN_STATUS_FAILED, OVERFLOW, "CONTEXT_OVERFLOW")
        assert run.error.metadata["context_window"] == str(SMALL_WINDOW)
        started = [event for event in await caller.log(run.id) if event.HasField("step_started")]
        assert len(started) == 2, "compacted once, asked twice"
        assert run.usage.step_count <= 1


async def test_the_provider_s_count_is_trusted_over_our_guess(settings: Settings) -> None:
    """Our guess of these turns is a twentieth of the window; the provider says that it is nearly full."""
    async with small_provider(settings, window=2_000) as (caller, provider, agent):
        full = Reply(text=("Yes.",), usage={"prompt_tokens": 1_850, "completion_tokens": 10})
        provider.choose = told_to(Reply(text=("They said yes.",)), full)
        await say(caller, agent, "Is it?")
        run = await say(caller, agent, "Is it?", include_compaction_messages=True)
        messages = await caller.messages(run.id)
        assert kinds(messages) == ["user_message", "event_message", "summary_message", "assistant_message"]
        stats = json.loads(messages[2].summary_message.compaction_stats.json)
        assert 1_860 < stats["context_tokens_before"] < 1_880
        assert stats["context_tokens_after"] <= stats["context_tokens_before"]
