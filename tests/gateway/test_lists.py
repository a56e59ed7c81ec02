"""Lists of messages and steps as the API's programs ask for them, with the official client and without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import letta_client
import pytest

from sendoff import v1
from sendoff_server.app import Server
from tests.fixtures.server import Serve
from tests.gateway.door import Door, knocking, script
from tests.gateway.sdk import EACH_WAY, Kind, Sdk, connected, ended, url

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def server(serve: Serve) -> AsyncIterator[Server]:
    async with serve(http_address="127.0.0.1:0") as server:
        yield server


@pytest.fixture(params=EACH_WAY, ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


@pytest.fixture
async def sdk(server: Server, kind: Kind) -> AsyncIterator[Sdk]:
    async with connected(url(server), kind) as sdk:
        yield sdk


@pytest.fixture
async def door(server: Server) -> AsyncIterator[Door]:
    async with knocking(server) as door:
        yield door


async def talk(sdk: Sdk, server: Server, *words: str, **fields: Any) -> tuple[str, list[Any]]:
    """An agent that was told these words; and its messages, oldest first."""
    agent = await sdk.agent("scripted/echo")
    for word in words:
        await sdk.run(server, agent, word)
    return agent, await sdk.all("agents.messages.list", agent, order="asc")


def said(messages: Any) -> list[str]:
    return [str(getattr(each, "content", None) or each.message_type) for each in messages]


def ids_of(items: Any) -> list[str]:
    return [item.id for item in items]


# ---- an agent's messages ----


async def test_a_page_of_an_agents_messages_is_always_in_the_order_of_time(server: Server, sdk: Sdk) -> None:
    agent, every = await talk(sdk, server, "a", "b", "c")
    assert len(every) == 7
    newest = (await sdk("agents.messages.list", agent, limit=3)).items
    assert newest == every[-3:]
    oldest = (await sdk("agents.messages.list", agent, limit=3, order="asc")).items
    assert oldest == every[:3]
    assert (await sdk("agents.messages.list", agent)).items == every


async def test_cursors_of_an_agents_messages_are_by_time(server: Server, sdk: Sdk) -> None:
    agent, every = await talk(sdk, server, "a", "b", "c")

    async def listed(**query: Any) -> Any:
        return (await sdk("agents.messages.list", agent, **query)).items

    assert await listed(after=every[4].id) == every[5:], "what came since"
    assert await listed(after=every[1].id, limit=2) == every[5:]
    assert await listed(after=every[1].id, limit=2, order="asc") == every[2:4]
    assert await listed(before=every[4].id, limit=2) == every[2:4], "the nearest older ones"
    assert await listed(before=every[4].id, limit=2, order="asc") == every[:2], "the oldest of all"
    assert await listed(after=every[1].id, before=every[4].id) == every[2:4]
    assert await listed(after=every[6].id) == []
    assert await listed(after=every[0].id) == every[1:], "the system prompt is the oldest"
    assert await listed(before=every[0].id) == []


async def test_iterating_over_an_agents_messages_ends_after_a_page_but_walks_through_all_with_asc(
    server: Server, sdk: Sdk
) -> None:
    agent, every = await talk(sdk, server, "a", "b", "c")
    assert await sdk.all("agents.messages.list", agent, limit=2) == every[-2:]
    for limit in (1, 2, 3, 100):
        assert await sdk.all("agents.messages.list", agent, limit=limit, order="asc") == every


async def test_a_poller_that_asks_for_what_came_since_misses_nothing(server: Server, sdk: Sdk) -> None:
    """Input that waited is older than what was written meanwhile, and is told behind it."""
    agent = await sdk.agent()
    other = (await sdk("conversations.create", agent_id=agent)).id
    slow = await sdk("agents.messages.create_async", agent, input=script(words=3, delay_ms=30))
    waits = await sdk("agents.messages.create_async", agent, input=script(text="waited"))
    beside = await server.use_cases.runs.create("default", _in(agent, other, "beside"), None)
    seen: list[Any] = []
    for run_id in (beside[0].id, slow.id, waits.id):
        await ended(server, run_id)
        after = {"after": seen[-1].id} if seen else {}
        seen += (await sdk("agents.messages.list", agent, **after)).items
    assert seen == await sdk.all("agents.messages.list", agent, order="asc")
    assert len(seen) == 7


def _in(agent: str, conversation: str, text: str) -> Any:
    said = v1.Content(text=script(text=text))
    return v1.CreateMessageAsyncRequest(agent_id=agent, conversation_id=conversation, input=said)


async def test_an_agents_messages_are_those_of_all_its_conversations_or_of_one(server: Server, sdk: Sdk) -> None:
    agent = await sdk.agent("scripted/echo")
    lane = (await sdk("conversations.create", agent_id=agent)).id
    await sdk.run(server, agent, "in its own")
    made = await server.use_cases.runs.create("default", _in(agent, lane, "beside"), None)
    await ended(server, made[0].id)

    async def listed(**query: Any) -> list[str]:
        return said(await sdk.all("agents.messages.list", agent, order="asc", **query))

    own = ["in its own", "You said: in its own"]
    everything = await listed()
    assert everything[1:3] == own
    assert len(everything) == 5
    assert await listed(conversation_id="default") == everything[:3]
    assert await listed(conversation_id=lane) == [everything[0], *everything[3:]]
    with pytest.raises(letta_client.NotFoundError):
        await listed(conversation_id=f"conv-{NOBODY}")


async def test_types_are_filtered_before_the_limit_counts(server: Server, sdk: Sdk) -> None:
    agent, every = await talk(sdk, server, "a", "b", "c")
    answers = [each for each in every if each.message_type == "assistant_message"]
    for limit in (1, 2, 10):
        query: dict[str, Any] = {"include_return_message_types": ["assistant_message"], "limit": limit}
        assert (await sdk("agents.messages.list", agent, **query)).items == answers[-limit:]
        assert await sdk.all("agents.messages.list", agent, order="asc", **query) == answers
    only_system = await sdk.all("agents.messages.list", agent, include_return_message_types=["system_message"])
    assert only_system == every[:1]


async def test_limit_and_cursors_count_messages_and_not_their_entries(server: Server, sdk: Sdk) -> None:
    agent = await sdk.agent()
    run = await sdk.run(server, agent, script(reasoning="hm", text="yes"))
    types = [each.message_type for each in (await sdk("agents.messages.list", agent, limit=1)).items]
    assert types == ["reasoning_message", "assistant_message"]
    for call, of in (("agents.messages.list", agent), ("runs.messages.list", run.id)):
        every = await sdk.all(call, of, order="asc", limit=1)
        assert [each.message_type for each in every][-3:] == ["user_message", "reasoning_message", "assistant_message"]
        assert every[-1].id == every[-2].id


async def test_what_no_list_can_do_is_refused_by_name(server: Server, sdk: Sdk) -> None:
    agent, _ = await talk(sdk, server, "a")
    for call in ("agents.messages.list", "conversations.messages.list"):
        of = agent
        with pytest.raises(letta_client.UnprocessableEntityError, match="group_id"):
            await sdk(call, of, group_id=f"group-{NOBODY}")
        for cursor in ({"after": f"message-{NOBODY}"}, {"before": "nonsense"}):
            with pytest.raises(letta_client.NotFoundError):
                await sdk(call, of, **cursor)
        assert (await sdk(call, of, include_err=True)).items


# ---- a conversation's, and all ----


async def test_a_conversations_messages_are_newest_first_unless_asked_otherwise(server: Server, sdk: Sdk) -> None:
    agent, every = await talk(sdk, server, "a", "b", "c")
    for of, query in ((agent, {}), ("default", {"agent_id": agent})):

        async def listed(of: str = of, query: dict[str, str] = query, **more: Any) -> Any:
            return (await sdk("conversations.messages.list", of, **query, **more)).items

        assert await listed() == every[::-1]
        assert await listed(order="asc") == every
        assert await listed(limit=2) == every[:-3:-1]
        assert await listed(after=every[4].id) == every[:4:-1], "what is new"
        assert await listed(before=every[4].id, limit=2) == [every[3], every[2]], "backwards from there"
        assert await listed(after=every[1].id, limit=2, order="asc") == every[2:4]


async def test_iterating_over_a_conversation_is_clean_with_asc_and_repeats_items_without(
    server: Server, sdk: Sdk
) -> None:
    """As it is with the API's own server: the cursor that the client goes on with is older, and asks for what is
    newer."""
    agent, every = await talk(sdk, server, "a", "b", "c")
    clean = await sdk.all("conversations.messages.list", agent, order="asc", limit=2)
    assert clean == every
    assert len(await sdk.all("conversations.messages.list", agent)) == 7 + 6 + 5 + 4 + 3 + 2 + 1


async def test_the_default_conversation_needs_its_agent(server: Server, sdk: Sdk) -> None:
    with pytest.raises(letta_client.NotFoundError):
        await sdk("conversations.messages.list", "default")
    with pytest.raises(letta_client.NotFoundError):
        await sdk("conversations.messages.list", f"agent-{NOBODY}")


async def test_messages_of_all_agents_are_listed_in_the_order_of_time(server: Server, sdk: Sdk) -> None:
    one, first = await talk(sdk, server, "a")
    _, second = await talk(sdk, server, "b")
    every = [*first[1:], *second[1:]]
    assert await sdk("messages.list") == every
    assert await sdk("messages.list", limit=1) == every[-1:]
    assert await sdk("messages.list", limit=3, order="asc") == every[:3]
    assert await sdk("messages.list", after=every[0].id) == every[1:]
    assert await sdk("messages.list", before=every[3].id, limit=1) == every[2:3]
    assert said(await sdk("messages.list", include_return_message_types=["user_message"])) == ["a", "b"]
    with pytest.raises(letta_client.NotFoundError):
        await sdk("messages.list", after=f"message-{NOBODY}")
    lane = (await sdk("conversations.create", agent_id=one)).id
    assert await sdk("messages.list", conversation_id=lane) == []


async def test_a_message_is_retrieved_as_a_list_of_its_entries(server: Server, sdk: Sdk) -> None:
    agent = await sdk.agent()
    run = await sdk.run(server, agent, script(reasoning="hm", text="yes"))
    _, thought, answered = await sdk.all("runs.messages.list", run.id)
    assert await sdk("messages.retrieve", answered.id) == [thought, answered]
    with pytest.raises(letta_client.NotFoundError):
        await sdk("messages.retrieve", f"message-{NOBODY}")
    with pytest.raises(letta_client.UnprocessableEntityError):
        await sdk("messages.retrieve", "nonsense")


# ---- a run's ----


async def test_messages_of_a_run_are_paged_by_time_in_both_orders(server: Server, sdk: Sdk) -> None:
    agent = await sdk.agent("scripted/echo")
    words = [{"role": "user", "content": word} for word in "abcdef"]
    made = await sdk("agents.messages.create_async", agent, messages=words)
    await sdk.ended(server, made.id)
    every = await sdk.all("runs.messages.list", made.id)
    assert said(every)[:6] == list("abcdef")

    async def listed(**query: Any) -> Any:
        return (await sdk("runs.messages.list", made.id, **query)).items

    assert await listed(limit=2) == every[:2]
    assert await listed(limit=2, order="desc") == every[:-3:-1]
    assert await listed(after=every[4].id) == every[5:]
    assert await listed(after=every[4].id, order="desc") == every[:4:-1]
    assert await listed(before=every[2].id) == every[:2]
    assert await listed(before=every[4].id, order="desc", limit=2) == [every[3], every[2]]
    for limit in (1, 2, 3, 100):
        assert await sdk.all("runs.messages.list", made.id, limit=limit) == every
    with pytest.raises(letta_client.NotFoundError):
        await listed(after=f"message-{NOBODY}")


# ---- steps ----


async def test_steps_of_all_runs_are_listed_and_chosen(server: Server, sdk: Sdk) -> None:
    one, other = await sdk.agent("scripted/echo"), await sdk.agent("scripted/echo")
    runs = [await sdk.run(server, agent, "hello") for agent in (one, other, one)]
    steps = await sdk.all("steps.list")
    assert [step.run_id for step in steps] == [run.id for run in runs[::-1]]
    for limit in (1, 2, 3):
        assert await sdk.all("steps.list", limit=limit) == steps
        assert await sdk.all("steps.list", limit=limit, order="asc") == steps[::-1]
        assert await sdk.all("steps.list", limit=limit, before=steps[2].id) == [steps[1], steps[0]] * (limit == 1) + (
            steps[:2] * (limit > 1)
        )
    assert await sdk.all("steps.list", agent_id=other) == steps[1:2]
    assert await sdk.all("steps.list", model="echo") == steps
    assert await sdk.all("steps.list", model="other") == await sdk.all("steps.list", trace_ids=["t"]) == []
    assert await sdk.all("steps.list", agent_id=f"agent-{NOBODY}") == []
    assert await sdk.all("steps.list", start_date="2020-01-01", end_date="2020-12-31T23:59:59Z") == []
    assert await sdk.all("steps.list", start_date="2020-01-01T00:00:00+02:00") == steps
    assert await sdk.all("steps.list", start_date="0001-01-02", end_date="9999-12-31") == steps
    with pytest.raises(letta_client.NotFoundError):
        await sdk("steps.list", after=f"step-{NOBODY}")
    for nonsense in ("yesterday", "0001-01-01T00:00:00+14:00"):
        with pytest.raises(letta_client.UnprocessableEntityError, match="start_date"):
            await sdk("steps.list", start_date=nonsense)


async def test_feedback_is_given_to_a_step_found_and_taken_away(server: Server, sdk: Sdk) -> None:
    run = await sdk.run(server, await sdk.agent("scripted/echo"), "hello")
    (step,) = await sdk.all("runs.steps.list", run.id)
    rated = await sdk("steps.feedback.create", step.id, feedback="positive", tags=["fast"])
    assert (rated.feedback, rated.tags) == ("positive", ["fast"])
    assert await sdk("steps.retrieve", step.id) == rated
    assert ids_of(await sdk.all("steps.list", feedback="positive", tags=["fast"])) == [step.id]
    assert await sdk.all("steps.list", feedback="negative") == await sdk.all("steps.list", has_feedback=False) == []
    assert await sdk("runs.retrieve", run.id) == run
    gone = await sdk("steps.feedback.create", step.id, feedback=None)
    assert (gone.feedback, gone.tags) == (None, ["fast"])
    assert ids_of(await sdk.all("steps.list", has_feedback=False)) == [step.id]
    with pytest.raises(letta_client.UnprocessableEntityError, match="feedback"):
        await sdk("steps.feedback.create", step.id, feedback="splendid")
    with pytest.raises(letta_client.NotFoundError):
        await sdk("steps.feedback.create", f"step-{NOBODY}", feedback="positive")


async def test_a_step_tells_its_messages_its_words_as_words(server: Server, sdk: Sdk) -> None:
    run = await sdk.run(server, await sdk.agent(), script(reasoning="hm", text="yes"))
    (step,) = await sdk.all("runs.steps.list", run.id)
    every = await sdk.all("steps.messages.list", step.id)
    assert [each.message_type for each in every] == ["reasoning_message", "assistant_message"]
    assert every == (await sdk.all("runs.messages.list", run.id))[1:]
    assert (await sdk("steps.messages.list", step.id, after=every[0].id)).items == []
    with pytest.raises(letta_client.NotFoundError):
        await sdk("steps.messages.list", step.id, after=f"message-{NOBODY}")
    with pytest.raises(letta_client.NotFoundError):
        await sdk("steps.messages.list", f"step-{NOBODY}")
    assert await sdk("steps.trace.retrieve", step.id) is None


# ---- runs ----


async def test_a_deleted_run_is_gone_and_what_it_said_stays(server: Server, sdk: Sdk, door: Door) -> None:
    agent, every = await talk(sdk, server, "a", "b")
    run_id = every[1].run_id
    assert (await door.http.delete(f"/v1/runs/{run_id}")).json() is None
    with pytest.raises(letta_client.NotFoundError):
        await sdk("runs.retrieve", run_id)
    assert len(await sdk.all("runs.list", agent_id=agent)) == 1
    assert await sdk.all("agents.messages.list", agent, order="asc") == every
    again = await door.http.delete(f"/v1/runs/{run_id}")
    assert (again.status_code, again.json()["reason"]) == (404, "RUN_NOT_FOUND")
    assert (await door.http.delete("/v1/runs/nonsense")).status_code == 400


async def test_an_unfinished_run_is_not_deleted_and_its_caller_told_what_to_do(door: Door) -> None:
    agent = await door.agent()
    run = await door.post(f"/v1/agents/{agent}/messages/async", {"input": script(words=5, delay_ms=60_000)})
    refused = await door.http.delete(f"/v1/runs/{run['id']}")
    assert (refused.status_code, refused.json()["reason"]) == (409, "RUN_STILL_OPEN")
    assert "cancel it" in refused.json()["detail"]
    assert refused.headers["x-should-retry"] == "false"
    await door.post(f"/v1/agents/{agent}/messages/cancel", {"run_ids": [run["id"]]})
    await door.ended(run["id"])
    assert (await door.http.delete(f"/v1/runs/{run['id']}")).status_code == 200


async def test_a_repeat_of_a_deleted_run_is_refused_and_names_it(door: Door) -> None:
    agent = await door.agent(model="scripted/echo")
    path, body = f"/v1/agents/{agent}/messages/async", {"messages": [{"role": "user", "content": "a", "otid": "o-1"}]}
    run = await door.post(path, body)
    await door.ended(run["id"])
    await door.http.delete(f"/v1/runs/{run['id']}")
    refused = await door.http.post(path, json=body)
    assert (refused.status_code, refused.json()["reason"]) == (409, "RUN_DELETED")
    assert run["id"] in refused.json()["detail"]
    assert refused.headers["x-should-retry"] == "false"


async def test_runs_of_several_agents_are_listed_together(server: Server, sdk: Sdk) -> None:
    agents = [await sdk.agent("scripted/echo") for _ in range(3)]
    runs = [await sdk.run(server, agent, "hello") for agent in agents]
    both = await sdk.all("runs.list", agent_ids=agents[:2], limit=1)
    assert ids_of(both) == [runs[1].id, runs[0].id]


async def test_traces_are_not_there_and_are_not_asked_for_again(server: Server, door: Door) -> None:
    run = await door.post(f"/v1/agents/{await door.agent()}/messages/async", {"input": script(text="hi")})
    refused = await door.http.get(f"/v1/runs/{run['id']}/trace")
    assert (refused.status_code, refused.headers["x-should-retry"]) == (501, "false")
    assert (await door.http.get(f"/v1/runs/run-{NOBODY}/trace")).status_code == 404
    await door.ended(run["id"])
    metrics = await door.get(f"/v1/runs/{run['id']}/metrics")
    assert metrics["tools_used"] is None


async def test_metrics_of_a_run_tell_the_tools_that_it_called(server: Server, sdk: Sdk, door: Door) -> None:
    made = await sdk("agents.create", name="searcher", model="scripted/script", include_base_tools=True)
    call = {"name": "conversation_search", "arguments": {"query": "anything"}}
    run = await sdk.run(server, made.id, script(steps=[{"tool_calls": [call, call]}, {"text": "found nothing"}]))
    assert (run.status, run.stop_reason) == ("completed", "end_turn")
    (tool,) = [tool for tool in made.tools if tool.name == "conversation_search"]
    assert (await door.get(f"/v1/runs/{run.id}/metrics"))["tools_used"] == [tool.id]
