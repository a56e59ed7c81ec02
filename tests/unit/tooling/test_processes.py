"""How several processes are looked after, with small programs in place of servers."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from sendoff_server import processes
from sendoff_server.__main__ import cli
from sendoff_server.process import Failed
from sendoff_server.settings import Settings

PATIENCE_S = 30.0
DIED = "a process has ended and is started again"

# What a process does is said by the lines behind these.
CHILD = """
import asyncio, pathlib, sys
from sendoff_server.lifeline import Lifeline

line = Lifeline()

async def stopped():
    stop = asyncio.Event()
    line.hold(stop)
    await stop.wait()
    print("stopping", flush=True)

"""
SERVING = CHILD + "line.tell_ready(); asyncio.run(stopped())"
DYING = CHILD + "line.tell_ready(); sys.exit(3)"
STUBBORN = CHILD + "line.tell_ready(); asyncio.run(stopped()); asyncio.run(asyncio.sleep(1000))"

# A parent in a process of its own, as the command starts it.
PARENT = """
import sys
from sendoff_server import process, processes
from sendoff_server.settings import Settings

processes.COMMAND = (sys.executable, "-c", sys.argv[1])
settings = Settings(
    processes=2, database_url="postgresql://h/x", grpc_address="127.0.0.1:0", http_address="127.0.0.1:0"
)
tell = lambda shared: print("all serve", file=sys.stderr, flush=True)
process.run(lambda stop: processes.serve(settings, stop=stop, ready=tell))
"""

Run = Callable[[str], Any]


@pytest.fixture
def settings() -> Settings:
    return Settings(
        processes=2, database_url="postgresql://h/x", grpc_address="127.0.0.1:0", http_address="127.0.0.1:0"
    )


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Makes processes of this program."""
    monkeypatch.setattr(processes, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(processes, "LONGEST_PAUSE_S", 0.04)
    return lambda program: monkeypatch.setattr(processes, "COMMAND", (sys.executable, "-c", program))


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_a_process_that_dies_is_started_again_after_pauses_that_grow(settings: Settings, run: Run) -> None:
    run(DYING)
    stop, ready = asyncio.Event(), asyncio.Event()
    with capture_logs() as logged:
        serving = asyncio.create_task(processes.serve(settings, stop=stop, ready=lambda _: ready.set()))

        def deaths() -> list[Any]:
            return [line for line in logged if line["event"] == DIED and line["process"] == 1]

        await _until(lambda: len(deaths()) >= 4)
        stop.set()
        await serving
    assert ready.is_set()
    assert [line["pause_s"] for line in deaths()][:4] == [0.01, 0.02, 0.04, 0.04]
    assert {line["exit_code"] for line in deaths()} == {3}


async def test_one_that_has_lived_long_is_started_again_soon(
    settings: Settings, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(DYING)
    monkeypatch.setattr(processes, "STEADY_S", 0.0)
    stop = asyncio.Event()
    with capture_logs() as logged:
        serving = asyncio.create_task(processes.serve(settings, stop=stop, ready=lambda _: None))
        await _until(lambda: sum(line["event"] == DIED for line in logged) >= 4)
        stop.set()
        await serving
    assert {line["pause_s"] for line in logged if line["event"] == DIED} == {0.01}


async def test_one_that_does_not_come_up_again_is_tried_on_while_another_serves_and_then_the_whole_fails(
    settings: Settings, run: Run, tmp_path: Path
) -> None:
    """Process 2 serves in its first life only, process 1 until a file is there."""
    born, end = tmp_path / "born", tmp_path / "end"
    run(
        CHILD
        + f"born, end = pathlib.Path({str(born)!r}), pathlib.Path({str(end)!r})\n"
        + "if line.process == 2:\n"
        + "    if born.exists(): sys.exit(7)\n"
        + "    born.touch(); line.tell_ready(); sys.exit(3)\n"
        + "if end.exists(): sys.exit(8)\n"
        + "line.tell_ready()\n"
        + "async def main():\n"
        + "    asyncio.get_running_loop().create_task(stopped())\n"
        + "    while not end.exists(): await asyncio.sleep(0.01)\n"
        + "asyncio.run(main())\n"
    )
    with capture_logs() as logged:
        serving = asyncio.create_task(processes.serve(settings, stop=asyncio.Event(), ready=lambda _: None))
        await _until(lambda: sum(line.get("exit_code") == 7 for line in logged) >= 3)
        assert not serving.done()
        end.touch()
        with pytest.raises(Failed, match=r"process [12] ended with exit code [78] before it served"):
            await asyncio.wait_for(serving, PATIENCE_S)


async def test_if_one_does_not_serve_at_the_start_the_others_are_stopped_and_the_whole_fails(
    settings: Settings, run: Run, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    run(
        CHILD
        + "if line.process == 2: sys.exit(1)\n"
        + f"line.tell_ready(); asyncio.run(stopped()); pathlib.Path({str(told)!r}).touch()\n"
    )
    ready = asyncio.Event()
    with pytest.raises(Failed, match="process 2 ended with exit code 1 before it served"):
        await processes.serve(settings, stop=asyncio.Event(), ready=lambda _: ready.set())
    assert told.exists(), "process 1 has drained"
    assert not ready.is_set()


@asynccontextmanager
async def _parent(child: str) -> AsyncIterator[Process]:
    """One whose processes serve. Its standard error is theirs too, and ends when all of them have."""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, child, stderr=PIPE)
    assert parent.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            while b"all serve" not in await parent.stderr.readline():
                pass
            yield parent
    finally:
        if parent.returncode is None:
            parent.kill()
        await parent.wait()


async def test_a_signal_has_all_processes_drain() -> None:
    async with _parent(SERVING) as parent:
        assert parent.stderr is not None
        parent.send_signal(signal.SIGTERM)
        assert (await parent.stderr.read()).count(b"stopping\n") == 2
        assert await parent.wait() == 0


async def test_a_second_signal_ends_all_processes_at_once() -> None:
    async with _parent(STUBBORN) as parent:
        assert parent.stderr is not None
        parent.send_signal(signal.SIGTERM)
        for _ in range(2):
            while await parent.stderr.readline() != b"stopping\n":
                pass
        parent.send_signal(signal.SIGTERM)
        await parent.stderr.read()
        assert await parent.wait() == 128 + signal.SIGTERM


async def test_processes_whose_parent_is_killed_drain_and_end() -> None:
    async with _parent(SERVING) as parent:
        assert parent.stderr is not None
        parent.kill()
        assert (await parent.stderr.read()).count(b"stopping\n") == 2


def _listening() -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", 0))
    made.listen()
    return made


@pytest.mark.parametrize("field", ["grpc_address", "http_address"])
def test_a_port_that_somebody_listens_on_is_refused_even_if_that_one_shares_it(settings: Settings, field: str) -> None:
    with _listening() as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        with (
            pytest.raises(Failed, match=f"cannot listen on '{taken}': .* set another with SENDOFF_{field.upper()}"),
            processes.ports_held(settings.model_copy(update={field: taken})),
        ):
            pass


def test_two_doors_do_not_share_a_port(settings: Settings) -> None:
    with processes.ports_held(settings) as shared:
        assert shared.grpc_address != shared.http_address
        free = shared.grpc_address
    same = settings.model_copy(update={"grpc_address": free, "http_address": free})
    with pytest.raises(Failed, match="SENDOFF_HTTP_ADDRESS"), processes.ports_held(same):
        pass


def test_port_0_is_one_port_for_all_and_a_door_that_is_off_stays_off(settings: Settings) -> None:
    with processes.ports_held(settings.model_copy(update={"http_address": "off"})) as shared:
        assert shared.http_address == "off"
        host, _, port = shared.grpc_address.rpartition(":")
        assert (host, port != "0") == ("127.0.0.1", True)


def test_whoever_takes_a_process_of_several_for_a_command_is_told() -> None:
    outcome = CliRunner().invoke(cli, ["replica", "--help"])
    assert outcome.exit_code == 0
    assert "which starts it" in outcome.output
    assert "replica" not in CliRunner().invoke(cli, ["--help"]).output


def test_the_demonstration_has_one_process() -> None:
    arguments = ["demo", "--processes", "2", "--database-url", "postgresql://h/x"]
    outcome = CliRunner().invoke(cli, arguments)
    assert outcome.exit_code == 2
    assert "leave SENDOFF_PROCESSES out" in outcome.stderr
