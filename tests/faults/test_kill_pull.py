"""`kill -9` while deliveries are pulled: none is lost, and none is with two receivers at a time."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import grpc.aio
import pytest

import sendoff
from sendoff import v1
from tests.faults.caller import PATIENCE_S, Caller, calling
from tests.faults.pulling import Handed, pulling
from tests.fixtures.server import ServerProcess

ENDED = "the stream ended before it was acknowledged"
DELIVERED = v1.DELIVERY_STATUS_DELIVERED


@pytest.fixture
def subject(server_process: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServerProcess:
    """A server that stops where SUBJECT_STOP says."""
    server_process.module = "tests.faults.stopping_server"
    monkeypatch.setenv("SUBJECT_TOOL_FILE", str(tmp_path / "unused"))
    return server_process


async def ended_runs(caller: Caller, count: int) -> set[str]:
    agents = [await caller.agent("scripted/echo") for _ in range(count)]
    sent = [await caller.send(agent, "hello") for agent in agents]
    return {(await caller.ended(run.id)).id for run in sent}


async def receive_until_it_dies(caller: Caller, endpoint: str) -> None:
    """Acknowledge what comes from a server that is going to be killed."""
    pull = await pulling(caller, endpoint)
    try:
        while True:
            await pull.take_and_ack(1)
    except grpc.aio.AioRpcError:
        pass


def ids(handed: list[Handed]) -> list[str]:
    return [each.delivery.id for each in handed]


@pytest.mark.parametrize(
    ("point", "comes_again"),
    [("claim after pulled delivery", True), ("commit after attempt", False)],
)
async def test_a_server_that_was_killed_there_hands_it_out_until_it_is_noted(
    point: str, comes_again: bool, subject: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBJECT_STOP", point)
    await subject.start()
    async with calling(subject.address) as caller:
        endpoint, _ = await caller.endpoint(None)
        receiving = asyncio.create_task(receive_until_it_dies(caller, endpoint))
        first = await ended_runs(caller, 1)
        await subject.logged("stopped here")
        await subject.kill()
        await receiving
        monkeypatch.delenv("SUBJECT_STOP")
        await subject.start()
        second = await ended_runs(caller, 1)
        pull = await pulling(caller, endpoint)
        handed = await pull.take_and_ack(2 if comes_again else 1)
        assert {each.run.id for each in handed} == (first | second if comes_again else second)
        assert [list(each.delivery.attempts) for each in handed] == [[]] * len(handed)
        assert await pull.end() == []
        told = await caller.deliveries(endpoint_id=endpoint)
        assert [(each.status, each.attempt_count) for each in told] == [(DELIVERED, 1)] * 2


async def test_what_was_handed_out_by_a_server_that_was_killed_comes_again_to_one_each(
    server_process: ServerProcess,
) -> None:
    await server_process.start()
    async with calling(server_process.address) as caller:
        endpoint, _ = await caller.endpoint(None)
        runs = await ended_runs(caller, 6)
        before = [await pulling(caller, endpoint, max_unacked=3) for _ in range(2)]
        handed = [each for pull in before for each in await pull.take(3)]
        await server_process.kill()
        await server_process.start()
        after = [await pulling(caller, endpoint, max_unacked=3) for _ in range(2)]
        again = [each for pull in after for each in await pull.take(3)]
        assert sorted(ids(again)) == sorted(ids(handed))
        assert {each.run.id for each in again} == runs
        for pull in after:
            assert await pull.end() == []


async def test_our_client_hands_on_each_once_though_the_acknowledgement_was_lost(
    subject: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBJECT_STOP", "commit before attempt")
    await subject.start()
    got: list[str] = []

    async def receive(endpoint: str) -> None:
        async with sendoff.AsyncClient(subject.address) as client:
            async for received in client.receive_deliveries(endpoint):
                got.append(received.run.id)
                received.ack()

    async with calling(subject.address) as caller:
        endpoint, _ = await caller.endpoint(None)
        receiving = asyncio.create_task(receive(endpoint))
        first = await ended_runs(caller, 1)
        await subject.logged("stopped here")
        await subject.kill()
        monkeypatch.delenv("SUBJECT_STOP")
        await subject.start()
        second = await ended_runs(caller, 1)
        async with asyncio.timeout(PATIENCE_S):
            # Nobody tells when an acknowledgement is durable.
            while [each.status for each in await caller.deliveries(endpoint_id=endpoint)] != [DELIVERED] * 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        receiving.cancel()
        await asyncio.wait((receiving,))
    assert (got, set(got)) == ([*first, *second], first | second)


_RECEIVER = """
import sys, sendoff
with sendoff.Client(sys.argv[1]) as client:
    for received in client.receive_deliveries(sys.argv[2]):
        print(received.delivery.id, flush=True)
"""


async def test_what_a_receiver_had_that_was_killed_comes_to_another_at_once(server_process: ServerProcess) -> None:
    await server_process.start()
    async with calling(server_process.address) as caller:
        endpoint, _ = await caller.endpoint(None)
        await ended_runs(caller, 1)
        receiver = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _RECEIVER, server_process.address, endpoint), stdout=asyncio.subprocess.PIPE
        )
        assert receiver.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            told = (await receiver.stdout.readline()).decode().strip()
            receiver.kill()
            await receiver.wait()
        pull = await pulling(caller, endpoint)
        (again,) = await pull.take_and_ack(1)
        assert again.delivery.id == told
        assert [attempt.error for attempt in again.delivery.attempts] == [ENDED]
        assert await pull.end() == []
