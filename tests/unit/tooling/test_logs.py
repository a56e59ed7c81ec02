"""How the process logs. Each case is a process of its own, because logging is set up once per process."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging
import structlog
from sendoff_server import logs

logs.configure({log_format!r}, {log_level!r}, process={process!r})
log = structlog.get_logger("test")
with structlog.contextvars.bound_contextvars(run_id="run-1"):
    log.info("accepted", agent_id="agent-1")
log.debug("detail")
logging.getLogger("library").info("request to https://example.com")
logging.getLogger("library").warning("cannot %s", "connect")
try:
    api_key = "sk-secret-value"
    raise ValueError("broken")
except ValueError:
    log.exception("failed")
    logging.getLogger("library").exception("library failed")
"""


def logged(log_format: str, log_level: str = "info", process: int | None = None) -> str:
    program = PROGRAM.format(log_format=log_format, log_level=log_level, process=process)
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert outcome.stdout == ""
    return outcome.stderr


def test_as_json_every_line_is_one_event_with_its_fields() -> None:
    lines = [json.loads(line) for line in logged("json").splitlines()]

    assert [line["event"] for line in lines] == ["accepted", "cannot connect", "failed", "library failed"]
    accepted, library, failed, library_failed = lines
    assert accepted["run_id"] == "run-1"
    assert accepted["agent_id"] == "agent-1"
    assert accepted["level"] == "info"
    assert accepted["timestamp"].endswith("Z")
    assert library["logger"] == "library"
    assert library["level"] == "warning"
    assert failed["exception"][0]["exc_value"] == "broken"
    assert library_failed["exception"][0]["exc_value"] == "broken"


def test_every_line_of_one_of_several_processes_tells_which_it_is() -> None:
    assert {json.loads(line)["process"] for line in logged("json", process=2).splitlines()} == {2}
    assert "process" not in json.loads(logged("json").splitlines()[0])


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_tells_no_local_variable(log_format: str) -> None:
    told = logged(log_format)

    assert "broken" in told
    assert "sk-secret-value" not in told


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_libraries_are_heard_from_warnings_on_even_when_we_debug(log_format: str) -> None:
    told = logged(log_format, "debug")

    assert "detail" in told
    assert "cannot connect" in told
    assert "example.com" not in told


def test_the_level_holds_for_libraries_too() -> None:
    told = [json.loads(line)["event"] for line in logged("json", "error").splitlines()]

    assert told == ["failed", "library failed"]


WRITES = """
import json, logging, sys
import structlog
from sendoff_server import logs

class Pipe:
    writes = []
    write = writes.append
    flush = isatty = lambda self: None

sys.stderr = Pipe()
logs.configure("json", "info")
structlog.get_logger("test").info("accepted")
logging.getLogger("library").warning("cannot connect")
print(json.dumps(Pipe.writes))
"""


def test_a_line_and_its_end_are_one_write() -> None:
    """Else lines of several processes would mix in the pipe that they share, where Python is told not to buffer."""
    outcome = subprocess.run([sys.executable, "-c", WRITES], capture_output=True, text=True, timeout=30, check=True)

    writes = json.loads(outcome.stdout)
    assert [json.loads(written)["event"] for written in writes] == ["accepted", "cannot connect"]
    assert all(written.endswith("\n") for written in writes)
