"""Whether Python tools can run here is found out at the start, and said."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sendoff_server.tools.python.tools import PythonToolsUnavailable, python_tools
from tests.unit.tools.python_tools import a_call
from tests.unit.tools.python_tools import confinement as confinement_of


def _program(folder: Path, text: str) -> None:
    program = folder / "bwrap"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


async def test_without_bubblewrap_the_log_warns_that_tools_are_not_confined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with capture_logs() as logs:
        python = await python_tools(memory_bytes=1 << 29, at_once=1)
    assert not python.is_confined
    assert [(line["log_level"], line["why"]) for line in logs] == [("warning", "bubblewrap is not installed")]
    assert "NOT CONFINED" in logs[0]["event"]
    assert (await python.call(a_call("def t(): return 'runs'"))).content.text == "runs"


async def test_bubblewrap_that_does_not_work_is_as_if_there_were_none_and_the_log_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(tmp_path, "echo 'no namespaces here' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with capture_logs() as logs:
        python = await python_tools(memory_bytes=1 << 29, at_once=1)
    assert not python.is_confined
    assert logs[0]["why"].endswith("no namespaces here")


async def test_with_bubblewrap_tools_are_confined_and_the_log_says_so() -> None:
    bwrap = confinement_of("confined").bwrap
    with capture_logs() as logs:
        python = await python_tools(memory_bytes=1 << 29, at_once=1)
    assert python.is_confined
    assert [(line["log_level"], line["bwrap"]) for line in logs] == [("info", bwrap)]


async def test_a_server_that_cannot_run_python_tools_does_not_pretend_to(monkeypatch: pytest.MonkeyPatch) -> None:
    false = shutil.which("false")
    assert false is not None
    monkeypatch.setattr(sys, "executable", false)
    with capture_logs(), pytest.raises(PythonToolsUnavailable, match="cannot run here"):
        await python_tools(memory_bytes=1 << 29, at_once=1)
