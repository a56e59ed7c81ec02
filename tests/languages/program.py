"""Builds an example, and runs it, by the very commands that its README has."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.languages.toolchain import Language

BUILD_TIMEOUT_S = 1_200.0
RUN_TIMEOUT_S = 180.0

_SHELL = ("bash", "-euo", "pipefail", "-c")


def commands(folder: Path, heading: str) -> str:
    """The one block of commands under that heading of the folder's README."""
    readme = (folder / "README.md").read_text()
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", readme, re.MULTILINE | re.DOTALL)
    (block,) = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return str(block)


def environment(**more: str) -> dict[str, str]:
    """As in a shell of the reader's, with the checkout's tools at hand, and no settings of ours but those given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SENDOFF_", "PYTHON"))}
    return {**inherited, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **more}


@dataclass(slots=True)
class Builds:
    """Builds each example once."""

    _done: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    async def build(self, language: Language) -> None:
        """Fails with what the commands said, and again so for everybody who asks later."""
        if language.name not in self._done:
            began = time.monotonic()
            self._done[language.name] = await _problem_of_building(language)
            self.seconds[language.name] = time.monotonic() - began
        assert not self._done[language.name], self._done[language.name]


async def _problem_of_building(language: Language) -> str:
    async with running(language.folder, commands(language.folder, "Build"), environment()) as program:
        code = await program.ended(BUILD_TIMEOUT_S)
    return "" if code == 0 else f"the build of {language.name} ended with {code}:\n{program.told()}"


class Program:
    """One that runs. What it says is read as it comes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.lines: list[str] = []
        """Of its standard output."""
        self.notes: list[str] = []
        """Pieces of its standard error, as they came."""
        self._process = process
        self._more = asyncio.Condition()
        self._open = 2  # of its two streams
        assert process.stdout is not None
        assert process.stderr is not None
        self._reading = asyncio.gather(self._read_lines(process.stdout), self._read_notes(process.stderr))

    async def until(self, is_so: Callable[[Program], bool]) -> None:
        """Wait until what it has said is so. Fails if it ends before."""
        async with asyncio.timeout(RUN_TIMEOUT_S), self._more:
            await self._more.wait_for(lambda: is_so(self) or not self._open)
        assert is_so(self), f"it has ended:\n{self.told()}"

    async def ended(self, timeout_s: float = RUN_TIMEOUT_S) -> int:
        """Wait for its end; its exit code."""
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(self._reading)
                return await self._process.wait()
        except TimeoutError:
            raise AssertionError(f"not at its end after {timeout_s:g} s:\n{self.told()}") from None

    def told(self) -> str:
        """All of it, for people."""
        return "\n".join(["--- stdout", *self.lines, "--- stderr", "".join(self.notes)[-20_000:]])

    async def close(self) -> None:
        """End it, and whatever it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._reading
        await self._process.wait()

    async def _read_lines(self, stream: asyncio.StreamReader) -> None:
        async for raw in stream:
            await self._keep(self.lines, raw.decode(errors="replace").rstrip())
        await self._closed()

    async def _read_notes(self, stream: asyncio.StreamReader) -> None:
        while piece := await stream.read(65_536):
            await self._keep(self.notes, piece.decode(errors="replace"))
        await self._closed()

    async def _keep(self, kept: list[str], piece: str) -> None:
        async with self._more:
            kept.append(piece)
            self._more.notify_all()

    async def _closed(self) -> None:
        async with self._more:
            self._open -= 1
            self._more.notify_all()


@asynccontextmanager
async def running(folder: Path, script: str, variables: Mapping[str, str]) -> AsyncIterator[Program]:
    """The commands run in the folder inside the block."""
    process = await asyncio.create_subprocess_exec(
        *(*_SHELL, script),
        cwd=folder,
        env=variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        limit=1 << 20,
    )
    program = Program(process)
    try:
        yield program
    finally:
        await program.close()
