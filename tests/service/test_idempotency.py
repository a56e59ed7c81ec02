"""However often and concurrently a request is sent, it is accepted once; the same key for another is refused (P2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc
import grpc.aio
import pytest

from sendoff import v1
from sendoff_server.app import Server
from tests.faults.caller import Caller, Refusal, calling, refused, request, script
from tests.fixtures.server import ServerProcess

Keyed = Callable[[str, str, str], tuple[v1.CreateMessageAsyncRequest, str | None]]
"""Agent, text, key: the request, and the idempotency key beside it if that is where the key goes."""


@pytest.fixture
async def caller(server: Server) -> AsyncIterator[Caller]:
    async with calling(server.grpc.address) as connected:
        yield connected


def _by_request_id(agent: str, text: str, key: str) -> tuple[v1.CreateMessageAsyncRequest, str | None]:
    return request(agent, text, request_id=key), None


def _by_header(agent: str, text: str, key: str) -> tuple[v1.CreateMessageAsyncRequest, str | None]:
    return request(agent, text), key


def _by_otids(agent: str, text: str, key: str) -> tuple[v1.CreateMessageAsyncRequest, str | None]:
    return _with_otids(agent, {f"{key}/1": "first", f"{key}/2": text}), None


def _with_otids(agent: str, messages: dict[str, str]) -> v1.CreateMessageAsyncRequest:
    """User messages by their OTIDs."""
    made = [
        v1.InputMessage(message=v1.MessageCreate(role=v1.ROLE_USER, content=v1.Content(text=text), otid=otid))
        for otid, text in messages.items()
    ]
    return v1.CreateMessageAsyncRequest(agent_id=agent, messages=v1.InputMessages(messages=made))


async def _send(caller: Caller, sent: v1.CreateMessageAsyncRequest, key: str | None = None) -> tuple[v1.Run, bool]:
    """The run, and whether the server says that it was accepted before."""
    metadata = (("idempotency-key", key),) if key is not None else ()
    call = caller.runs.CreateMessageAsync(sent, metadata=metadata, timeout=10)
    run = await call
    headers = dict(await call.initial_metadata() or ())
    assert headers.get("idempotency-replayed") in (None, "true")
    return run, "idempotency-replayed" in headers


async def _refused(caller: Caller, sent: v1.CreateMessageAsyncRequest, key: str | None = None) -> Refusal:
    return await refused(_send(caller, sent, key))


_KEYS = pytest.mark.parametrize("keyed", [_by_request_id, _by_header, _by_otids])


@_KEYS
async def test_sent_three_times_at_once_is_accepted_once(keyed: Keyed, caller: Caller) -> None:
    agents = [await caller.agent() for _ in range(4)]
    sends = [keyed(agents[n % 4], script(text=f"{n}"), f"key-{n}") for n in range(30) for _ in range(3)]
    answers = await asyncio.gather(*(_send(caller, *send) for send in sends))

    runs_by_key = [{run.id for run, _ in answers[at : at + 3]} for at in range(0, len(answers), 3)]
    assert all(len(run_ids) == 1 for run_ids in runs_by_key)
    assert len(set.union(*runs_by_key)) == 30
    for at in range(0, len(answers), 3):
        assert [replayed for _, replayed in answers[at : at + 3]].count(False) == 1
    listed = await caller.list_all(page_size=1000)
    assert {run.id for run in listed} == set.union(*runs_by_key)
    assert len(listed) == 30


@_KEYS
async def test_a_repeat_after_the_end_answers_with_the_run_as_it_is_now(keyed: Keyed, caller: Caller) -> None:
    sent = keyed(await caller.agent("scripted/echo"), "hello", "a key")
    run, replayed = await _send(caller, *sent)
    assert (run.status, replayed) == (v1.RUN_STATUS_CREATED, False)
    ended = await caller.ended(run.id)
    assert await _send(caller, *sent) == (ended, True)


@_KEYS
async def test_the_same_key_with_another_body_is_refused_and_names_the_run(keyed: Keyed, caller: Caller) -> None:
    agent = await caller.agent("scripted/echo")
    run, _ = await _send(caller, *keyed(agent, "hello", "a key"))
    refusal = await _refused(caller, *keyed(agent, "something else", "a key"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_MISMATCH")
    assert refusal.metadata["resource_id"] == run.id
    assert len(await caller.list_all()) == 1


async def test_concurrent_requests_with_one_key_and_two_bodies_leave_one_run(caller: Caller) -> None:
    agent = await caller.agent("scripted/echo")
    sends = [_send(caller, request(agent, f"body {n % 2}", request_id="contested")) for n in range(20)]
    answers = await asyncio.gather(*sends, return_exceptions=True)
    runs = {answer[0].id for answer in answers if isinstance(answer, tuple)}
    refusals = [Refusal(answer) for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert len(runs) == 1
    assert len(refusals) == 10
    assert {refusal.reason for refusal in refusals} == {"IDEMPOTENCY_MISMATCH"}


async def test_the_field_and_the_header_are_one_key(caller: Caller) -> None:
    agent = await caller.agent("scripted/echo")
    run, _ = await _send(caller, request(agent, "hello", request_id="a key"))
    again, replayed = await _send(caller, request(agent, "hello"), "a key")
    both, _ = await _send(caller, request(agent, "hello", request_id="a key"), "a key")
    assert (again.id, replayed, both.id) == (run.id, True, run.id)
    assert again.request_id == "a key"


async def test_a_field_and_a_header_that_differ_are_refused(caller: Caller) -> None:
    agent = await caller.agent("scripted/echo")
    refusal = await _refused(caller, request(agent, "hello", request_id="one"), "another")
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["request_id"])
    assert await caller.list_all() == []


async def test_a_part_of_the_otids_is_another_request(caller: Caller) -> None:
    agent = await caller.agent("scripted/echo")
    run, _ = await _send(caller, _with_otids(agent, {"a": "one", "b": "two"}))
    for otids in ({"a": "one"}, {"a": "one", "c": "three"}, {"a": "one", "b": "two", "c": "three"}):
        refusal = await _refused(caller, _with_otids(agent, otids))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_MISMATCH")
        assert refusal.metadata["resource_id"] == run.id
    assert len(await caller.list_all()) == 1


async def test_otids_are_keys_of_their_conversation_only(caller: Caller) -> None:
    runs = [await _send(caller, _with_otids(await caller.agent("scripted/echo"), {"a": "one"})) for _ in range(2)]
    assert [replayed for _, replayed in runs] == [False, False]
    assert runs[0][0].id != runs[1][0].id


async def test_without_a_key_every_request_is_its_own(caller: Caller) -> None:
    agent = await caller.agent("scripted/echo")
    answers = await asyncio.gather(*(_send(caller, request(agent, "hello")) for _ in range(5)))
    assert len({run.id for run, _ in answers}) == 5
    assert not any(replayed for _, replayed in answers)


async def test_a_caller_that_goes_away_and_comes_back_finds_its_run(caller: Caller) -> None:
    agent = await caller.agent("scripted/echo")
    for number in range(10):
        sent = request(agent, "hello", request_id=f"key-{number}")
        call = caller.runs.CreateMessageAsync(sent)
        for _ in range(number):
            await asyncio.sleep(0)  # another moment each time; whatever became of the call, its repeat is right
        call.cancel()
        await _send(caller, sent)
    runs = await caller.list_all()
    assert sorted(run.request_id for run in runs) == [f"key-{number}" for number in range(10)]


async def test_checking_only_stores_nothing(caller: Caller) -> None:
    agent = await caller.agent("scripted/echo")
    checked, replayed = await _send(caller, request(agent, "hello", request_id="a key", validate_only=True))
    assert (checked.id, checked.status, replayed) == ("", v1.RUN_STATUS_CREATED, False)
    assert await caller.list_all() == []
    _, replayed = await _send(caller, request(agent, "another", request_id="a key"))
    assert not replayed


async def test_keys_hold_after_a_kill(server_process: ServerProcess) -> None:
    keyed: list[Keyed] = [_by_request_id, _by_header, _by_otids]

    async def send_all(caller: Caller, agent: str) -> list[tuple[v1.Run, bool]]:
        sends = [keyed[n % 3](agent, f"{n}", f"key-{n}") for n in range(15) for _ in range(3)]
        return await asyncio.gather(*(_send(caller, *send) for send in sends))

    await server_process.start()
    async with calling(server_process.address) as caller:
        agent = await caller.agent("scripted/echo")
        first = await send_all(caller, agent)
        await server_process.kill()
        await server_process.start()
        second = await send_all(caller, agent)
        assert all(replayed for _, replayed in second)
        assert [run.id for run, _ in second] == [run.id for run, _ in first]
        assert len(await caller.list_all()) == len({run.id for run, _ in first}) == 15
