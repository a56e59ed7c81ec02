"""The rule of the floors can fail: an import in the wrong direction is found, whatever contract it breaks."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")

WRONG = {
    "Imports look down": ("server/sendoff_server/errors/base.py", "import sendoff_server.runs.hub"),
    "Only store_parts.py chooses a store engine": (
        "server/sendoff_server/runs/hub.py",
        "import sendoff_server.store.sqlite.lock",
    ),
    "Only app.py and the command line choose models": (
        "server/sendoff_server/loop/loop.py",
        "import sendoff_server.models.catalogue",
    ),
    "Only the gRPC door and the client know grpc": ("server/sendoff_server/runs/service.py", "import grpc.aio"),
    "Only the REST door knows an HTTP server": ("server/sendoff_server/runs/service.py", "import starlette.requests"),
    "Only sight/ knows a library for metrics": ("server/sendoff_server/runs/service.py", "import prometheus_client"),
    "Only store engines know a database driver": ("server/sendoff_server/agents/service.py", "import sqlite3"),
    "Only models/ knows model libraries": ("server/sendoff_server/agents/service.py", "import openai"),
    "Only assembly.py and the command line choose tools": (
        "server/sendoff_server/loop/loop.py",
        "import sendoff_server.tools.mcp.servers",
    ),
    "Only tools/ knows the MCP library": ("server/sendoff_server/agents/service.py", "import mcp"),
    "Only outgoing/ and models/ know an HTTP client": ("server/sendoff_server/runs/service.py", "import aiohttp"),
    "The client never imports the server": ("client/sendoff/paging.py", "import sendoff_server.ids"),
}
"""For each contract a file, and an import that it must not have."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for folder in ("client", "server"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def verdicts(checkout: Path) -> dict[str, str]:
    """KEPT or BROKEN for each contract, by the start of its name."""
    source = os.pathsep.join(str(checkout / folder) for folder in ("client", "server"))
    outcome = subprocess.run(
        [LINT_IMPORTS, "--no-logo", "--no-cache"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": source, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    found = dict(re.findall(r"^(.*?)(?:;.*)? (KEPT|BROKEN)(?: \(.*\))?$", outcome.stdout, re.MULTILINE))
    assert (outcome.returncode == 0) == ("BROKEN" not in found.values()), outcome.stdout + outcome.stderr
    return found


def test_the_house_as_it_is_keeps_to_the_floors(checkout: Path) -> None:
    found = verdicts(checkout)

    assert found.keys() >= WRONG.keys()
    assert set(found.values()) == {"KEPT"}


def test_an_import_that_a_contract_forbids_breaks_it(checkout: Path) -> None:
    for file, wrong in WRONG.values():
        with (checkout / file).open("a") as source:
            source.write(f"\n\ndef wrong() -> None:\n    {wrong}\n")

    found = verdicts(checkout)

    assert {name for name, verdict in found.items() if verdict == "BROKEN"} >= WRONG.keys()


def test_a_module_without_a_floor_is_refused(checkout: Path) -> None:
    (checkout / "server/sendoff_server/homeless.py").write_text("")

    assert verdicts(checkout)["Imports look down"] == "BROKEN"
