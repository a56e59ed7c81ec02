"""What `make run` shows."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from tests.fixtures.weights import provide_weights

ROOT = Path(__file__).parents[3]
TIMEOUT_S = 120
SCRIPTED = ("--scripted-model", "--default-model", "scripted/echo")


class Demo:
    """`sendoff-server demo` under way, and what it has printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.printed = ""

    async def until(self, text: str) -> None:
        """Read until it has printed this text."""
        assert self._process.stdout is not None
        async with asyncio.timeout(TIMEOUT_S):
            while text not in self.printed and (line := await self._process.stdout.readline()):
                self.printed += line.decode()
        assert text in self.printed

    async def ended(self, number: signal.Signals | None = None) -> int:
        """Its exit code, after a signal if one is given."""
        if number is not None:
            self._process.send_signal(number)
        async with asyncio.timeout(TIMEOUT_S):
            printed, _ = await self._process.communicate()
            self.printed += printed.decode()
            return await self._process.wait()


@contextlib.asynccontextmanager
async def demonstration(
    data_dir: Path, *flags: str, address: str = "127.0.0.1:0", http_address: str = "127.0.0.1:0"
) -> AsyncIterator[Demo]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sendoff_server", "demo", "--grpc-address", address, "--http-address", http_address),
        *("--data-dir", str(data_dir)),
        *flags,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("SENDOFF_")},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Demo(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_it_shows_an_answer_and_a_completed_run_and_once_ends_it(tmp_path: Path) -> None:
    async with demonstration(tmp_path, "--once", *SCRIPTED) as demo:
        assert await demo.ended() == 0

    assert "You said: Name three things" in demo.printed
    assert "The run is completed (end_turn)" in demo.printed
    assert "Try next" not in demo.printed  # nobody is there to be asked


async def test_without_any_setting_it_shows_the_embedded_model_and_calls_it_what_it_is(tmp_path: Path) -> None:
    await provide_weights(tmp_path)
    async with demonstration(tmp_path, "--once") as demo:
        assert await demo.ended() == 0

    assert "on local/smollm2-135m" in demo.printed
    assert "a demonstration model of 135 million parameters" in demo.printed
    assert "The run is completed (end_turn)" in demo.printed
    assert "fork" not in demo.printed  # gRPC's remarks on the child process


async def test_what_it_tells_to_try_next_works_as_it_is_pasted_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    async with demonstration(tmp_path, *SCRIPTED) as demo:
        await demo.until("Serving on")
        pasted = demo.printed.partition("in another terminal of this directory:")[2].replace(
            "Serving on, until Ctrl-C.", ""
        )
        script = re.sub(r"^With .*:$", "", pasted, flags=re.MULTILINE)
        shell = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", script),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(TIMEOUT_S):
            printed, _ = await shell.communicate()

        assert shell.returncode == 0, printed.decode()
        assert "You said: And what is bad about it?" in printed.decode()
        assert '"status": "RUN_STATUS_COMPLETED"' in printed.decode()
        assert "status: RUN_STATUS_COMPLETED" in printed.decode()
        assert '"message_type":"assistant_message"' in printed.decode()
        assert await demo.ended(signal.SIGINT) == 0


async def test_beside_a_server_that_runs_it_takes_other_ports_and_another_database(tmp_path: Path) -> None:
    async with demonstration(tmp_path, *SCRIPTED) as first:
        await first.until("Serving on")
        (address,) = re.findall(r"ready at (\S+)\.", first.printed)
        (http_address,) = re.findall(r"REST door is http://(\S+)\.", first.printed)
        taken = {"address": address, "http_address": http_address}
        async with demonstration(tmp_path, "--once", *SCRIPTED, **taken) as second:
            assert await second.ended() == 0

    assert f"{address} is taken" in second.printed
    assert f"{http_address} is taken" in second.printed
    assert "taking a throw-away database" in second.printed
    assert "The run is completed" in second.printed


async def test_a_run_that_does_not_complete_fails_it(tmp_path: Path) -> None:
    async with demonstration(tmp_path, "--once", "--scripted-model", "--default-model", "scripted/script") as demo:
        assert await demo.ended() == 1

    assert "The run is failed" in demo.printed
    assert "sendoff-server: the run did not complete" in demo.printed
    assert "Traceback" not in demo.printed


async def test_an_address_of_another_machine_fails_it_in_one_line(tmp_path: Path) -> None:
    async with demonstration(tmp_path, "--once", *SCRIPTED, address="192.0.2.1:1") as demo:
        assert await demo.ended() == 1

    assert "192.0.2.1" in demo.printed
    assert "Traceback" not in demo.printed
