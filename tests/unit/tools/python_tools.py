"""Python tools to test, calls of them, and the processes that they leave."""

from __future__ import annotations

import asyncio
import functools
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from sendoff import v1
from sendoff_server import ids
from sendoff_server.tools.port import ToolCall
from sendoff_server.tools.python.confinement import KEY_VARIABLE, Confinement
from sendoff_server.tools.python.tools import PythonTools

PATIENCE_S = 20.0


def a_call(source: str, /, *, name: str = "t", key: str = "", **arguments: Any) -> ToolCall:
    tool = v1.Tool(name=name, type=v1.TOOL_TYPE_PYTHON, source_code=source)
    return ToolCall(
        tenant="default",
        agent_id="agent",
        lane="agent",
        run_id="run",
        tool=tool,
        call_id="call",
        arguments=arguments,
        key=key or ids.new("key"),
        position=0,
    )


@functools.cache
def works(bwrap: str) -> bool:
    """Whether bubblewrap may make namespaces on this machine."""
    trial = [bwrap, "--unshare-all", "--unshare-user", "--ro-bind", "/", "/", "true"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


def confinement(kind: str) -> Confinement:
    """ "confined" or "unconfined"; skips the test where there is no bubblewrap, or none that works."""
    if kind == "unconfined":
        return Confinement(None)
    bwrap = shutil.which("bwrap")
    if bwrap is None or not works(bwrap):
        pytest.skip("needs bubblewrap")
    return Confinement(bwrap)


def some_tools(kind: str, memory_mb: int = 512) -> PythonTools:
    return PythonTools(confinement(kind), memory_bytes=memory_mb * 1024 * 1024, at_once=4)


def processes(key: str) -> list[psutil.Process]:
    """Those that came of the call with that key."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(KEY_VARIABLE) == key:
                found.append(process)
        except psutil.Error:
            continue
    return found


async def until(condition: Callable[[], object]) -> None:
    """Wait until it holds, for what no event tells of: other processes."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - there is nothing to be told by
            await asyncio.sleep(0.02)


async def gone(started: list[psutil.Process]) -> None:
    """Wait until they have ended; fails if they go on."""
    _, alive = await asyncio.to_thread(psutil.wait_procs, started, timeout=PATIENCE_S)
    assert not alive
