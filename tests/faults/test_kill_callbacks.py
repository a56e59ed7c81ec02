"""`kill -9` at each point of a delivery: it arrives all the same, verifies, and has one id if it comes twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sendoff import v1
from tests.faults.caller import Caller, calling
from tests.fixtures.receiver import Receiver
from tests.fixtures.server import ServerProcess

FINISHED, STARTED = "run.finished", "run.started"


OWN, ENDPOINT = "POST /own HTTP/1.1", "POST /endpoint HTTP/1.1"


async def send(caller: Caller, receiver: Receiver, data_dir: Path) -> tuple[v1.Run, dict[str, str]]:
    """A run whose end is told to its own URL and to an endpoint, and by line of their requests what signs them."""
    agent = await caller.agent("scripted/echo")
    _, secret = await caller.endpoint(receiver.url("/endpoint"))
    run = await caller.send(agent, "hello", callback_url=receiver.url("/own"))
    return run, {OWN: (data_dir / "callback.secret").read_text().strip(), ENDPOINT: secret}


def verified(receiver: Receiver, run: v1.Run, secrets: dict[str, str]) -> None:
    """Both were told of the run's end; all requests to one are by the standard's own library one and the same."""
    for line, secret in secrets.items():
        got = [each for each in receiver.got if each.line == line]
        for each in got:
            told = each.verified(secret)
            about = told.get("data", told)
            assert (about["run_id"], about["status"]) == (run.id, "completed")
        assert len({each.id for each in got}) == 1
        assert len({each.body for each in got}) == 1


@pytest.fixture
def subject(server_process: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServerProcess:
    """A server that stops where SUBJECT_STOP says."""
    server_process.module = "tests.faults.stopping_server"
    monkeypatch.setenv("SUBJECT_TOOL_FILE", str(tmp_path / "unused"))
    return server_process


@pytest.mark.parametrize(
    ("point", "requests"),
    [
        ("commit before finished", {2}),
        ("commit after finished", {2, 3, 4}),  # the poll may find them before the kill
        ("claim after delivery", {2, 3}),  # the other one may have been told before
        ("commit before attempt", {3, 4}),
        ("commit after attempt", {2, 3}),
    ],
)
async def test_a_server_that_was_killed_there_delivers(
    point: str, requests: set[int], subject: ServerProcess, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBJECT_STOP", point)
    await subject.start()
    async with calling(subject.address) as caller:
        run, secrets = await send(caller, receiver, subject.data_dir)
        await subject.logged("stopped here")
        await subject.kill()
        monkeypatch.delenv("SUBJECT_STOP")
        await subject.start()
        found = await caller.delivered(2, run_id=run.id)
        run = await caller.ended(run.id)
    assert [each.status for each in found] == [v1.DELIVERY_STATUS_DELIVERED] * 2
    assert (run.status, run.callback.last_status_code, run.callback.last_error) == (v1.RUN_STATUS_COMPLETED, 200, "")
    assert len(receiver.got) in requests
    verified(receiver, run, secrets)


async def test_a_server_that_was_killed_while_the_receivers_think_delivers_again(
    server_process: ServerProcess, receiver: Receiver
) -> None:
    receiver.acts = ["hang", "hang"]
    await server_process.start()
    async with calling(server_process.address) as caller:
        run, secrets = await send(caller, receiver, server_process.data_dir)
        await receiver.requests(2)
        await server_process.kill()
        await server_process.start()
        await caller.delivered(2, run_id=run.id)
    assert len(receiver.got) == 4
    verified(receiver, run, secrets)


async def test_a_start_that_was_told_and_not_noted_is_told_again_and_the_end_behind_it(
    subject: ServerProcess, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBJECT_STOP", "commit before attempt")
    await subject.start()
    async with calling(subject.address) as caller:
        _, secret = await caller.endpoint(receiver.url(), event_types=[STARTED, FINISHED])
        run = await caller.send(await caller.agent("scripted/echo"), "hello")
        await subject.logged("stopped here")
        await subject.kill()
        monkeypatch.delenv("SUBJECT_STOP")
        await subject.start()
        start, end = await caller.delivered(2, run_id=run.id)
    assert [got.verified(secret)["type"] for got in receiver.got] == [STARTED, STARTED, FINISHED]
    assert [got.id for got in receiver.got] == [start.id, start.id, end.id]


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
