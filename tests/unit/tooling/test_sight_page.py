"""The page on metrics and log lines, held against what is told."""

from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner

from sendoff_server.__main__ import cli

SERVER = Path(__file__).parents[3] / "server" / "sendoff_server"
PAGE = (SERVER / "sight" / "README.md").read_text()


def _logged(path: Path) -> set[str]:
    """Events that a module logs."""
    return set(re.findall(r"""log\.(?:debug|info|warning|error)\(\s*"([^"]+)\"""", path.read_text()))


def test_the_page_lists_the_metrics_that_there_are() -> None:
    told = CliRunner().invoke(cli, ["metrics"]).output
    assert told.count("| `sendoff_") > 30
    assert told in PAGE, "put the output of `.venv/bin/sendoff-server metrics` into the page"


def test_the_page_lists_the_lines_of_runs_and_none_that_there_is_not() -> None:
    table = PAGE.partition("| Event | Level | When |")[2]
    listed = {
        event for row in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE) for event in re.findall("`([^`]+)`", row)
    }
    assert _logged(SERVER / "sight" / "lines.py") <= listed
    assert listed <= {event for path in SERVER.rglob("*.py") for event in _logged(path)}


def test_metrics_are_named_in_base_units_and_told_in_a_sentence() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert len(rows) > 40
    for name, kind, meaning in rows:
        assert (kind == "counter") == name.endswith("_total")
        assert not re.search(r"_(ms|ns|millis\w*|kb|mb|minutes)\b", name)
        assert meaning.endswith("."), name
