"""The flows pass with the oldest version of the official client too, as they are for the newest."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
OLDEST = ROOT / ".venv/oldest-letta"
"""Made by `make test`; without it the test fails, and does not pass for lack of what it is about."""
PINNED = re.search(r"^letta-client==(\S+)", (ROOT / "requirements/oldest-letta.txt").read_text(), re.MULTILINE)
PATIENCE_S = 240
FLOWS = "tests/gateway/test_acceptance.py"


async def _with_oldest(*arguments: str) -> tuple[int | None, str]:
    """Run Python with the oldest client in the place of the newest: its exit code, and what it has said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        cwd=ROOT,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
            "PYTHONPATH": os.pathsep.join([str(OLDEST), os.environ.get("PYTHONPATH", "")]),
            "SUBJECT_SDK_KINDS": "sync-lenient async-strict",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    return process.returncode, said.decode()


async def test_every_flow_passes_with_the_oldest_version_of_the_client() -> None:
    assert PINNED is not None
    told = await _with_oldest("-c", "import letta_client as each; print(each.__version__, each.__file__)")
    assert told == (0, f"{PINNED[1]} {OLDEST}/letta_client/__init__.py\n")

    code, said = await _with_oldest("-m", "pytest", "-q", "-p", "no:cacheprovider", "--show-capture=no", FLOWS)
    assert code == 0, said
    passed = re.search(r"(\d+) passed", said)
    assert passed is not None
    assert int(passed[1]) >= 30
