"""`kill -9` at each point of a delivery: it arrives all the same, verifies, and has one id if it comes twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sendoff import v1
from tests.faults.caller import calling
from tests.fixtures.receiver import Delivered, Receiver
from tests.fixtures.server import ServerProcess


def verified(got: list[Delivered], run: v1.Run, data_dir: Path) -> None:
    """Every request is one of this run's callback, by the standard's own library, and they are one and the same."""
    secret = (data_dir / "callback.secret").read_text().strip()
    for each in got:
        told = each.verified(secret)
        assert (told["run_id"], told["status"]) == (run.id, "completed")
    assert len({each.id for each in got}) == 1
    assert len({each.body for each in got}) == 1


@pytest.fixture
def subject(server_process: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServerProcess:
    """A server that stops where SUBJECT_STOP says."""
    server_process.module = "tests.faults.stopping_server"
    monkeypatch.setenv("SUBJECT_TOOL_FILE", str(tmp_path / "unused"))
    return server_process


@pytest.mark.parametrize(
    ("point", "times"),
    [
        ("commit before finished", {1}),
        ("commit after finished", {1, 2}),  # the poll may find it before the kill
        ("claim after delivery", {1}),
        ("commit before attempt", {2}),
        ("commit after attempt", {1}),
    ],
)
async def test_a_server_that_was_killed_there_delivers(
    point: str, times: set[int], subject: ServerProcess, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBJECT_STOP", point)
    await subject.start()
    async with calling(subject.address) as caller:
        agent = await caller.agent("scripted/echo")
        run = await caller.send(agent, "hello", callback_url=receiver.url())
        await subject.logged("stopped here")
        await subject.kill()
        monkeypatch.delenv("SUBJECT_STOP")
        await subject.start()
        run = await caller.called_back(run.id, done=True)
    assert (run.status, run.callback.last_status_code, run.callback.last_error) == (v1.RUN_STATUS_COMPLETED, 200, "")
    assert len(receiver.got) in times
    verified(receiver.got, run, subject.data_dir)


async def test_a_server_that_was_killed_while_the_receiver_thinks_delivers_again(
    server_process: ServerProcess, receiver: Receiver
) -> None:
    receiver.acts = ["hang"]
    await server_process.start()
    async with calling(server_process.address) as caller:
        run = await caller.send(await caller.agent("scripted/echo"), "hello", callback_url=receiver.url())
        await receiver.requests(1)
        await server_process.kill()
        await server_process.start()
        run = await caller.called_back(run.id, done=True)
    assert len(receiver.got) == 2
    verified(receiver.got, run, server_process.data_dir)


async def test_what_had_failed_before_the_kill_is_not_tried_before_its_time(
    server_process: ServerProcess, receiver: Receiver
) -> None:
    receiver.acts = ["HTTP/1.1 503 Later\r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n"]
    await server_process.start()
    async with calling(server_process.address) as caller:
        agent = await caller.agent("scripted/echo")
        run = await caller.send(agent, "hello", callback_url=receiver.url())
        await receiver.requests(1)
        waiting = await caller.called_back(run.id)
        await server_process.kill()
        await server_process.start()
        other = await caller.send(agent, "hello again", callback_url=receiver.url())
        await caller.called_back(other.id, done=True)
        assert await caller.get(run.id) == waiting
    assert waiting.callback.last_status_code == 503
    assert [got.json["run_id"] for got in receiver.got] == [run.id, other.id]


async def test_a_server_that_is_asked_to_stop_lets_an_attempt_end(
    server_process: ServerProcess, receiver: Receiver
) -> None:
    receiver.acts = ["hang"]
    await server_process.start()
    async with calling(server_process.address) as caller:
        run = await caller.send(await caller.agent("scripted/echo"), "hello", callback_url=receiver.url())
        await receiver.requests(1)
        stopping = asyncio.create_task(server_process.stop())
        await server_process.logged("stopping")
        receiver.release.set()
        assert await stopping == 0
        await server_process.start()
        run = await caller.called_back(run.id, done=True)
    assert (run.callback.attempts, len(receiver.got)) == (1, 1)
