"""The programs of the client's page, run: against a real server, each as it stands."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

from sendoff.connection import ConnectionOptions
from tests.fixtures.server import ServerProcess

PAGE = (Path(__file__).parents[3] / "client" / "README.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
RUN_ALL = """\
import json, sys
for program in json.load(sys.stdin):
    print("--")
    exec(compile(program, "<client/README.md>", "exec"), {"__name__": "__main__"})
"""


async def test_all_programs_do_what_they_say(server_process: ServerProcess) -> None:
    await server_process.start()
    programs = [program.replace("127.0.0.1:50051", server_process.address) for program in PROGRAMS]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", RUN_ALL),
        env={**os.environ, "SENDOFF_ADDRESS": server_process.address},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate(json.dumps(programs).encode())
    assert process.returncode == 0, err.decode()

    send, follow, tools, connect, failed = out.decode().split("--\n")[1:]
    assert "You said: Why do ships have bells?\nRUN_STATUS_COMPLETED" in send
    assert follow.splitlines()[-1].endswith("finished")
    assert 'asks for: memory_insert {"label": "human", "new_string": "Lives in Ulm."}' in tools
    assert tools.endswith("You said: Do I need an umbrella?\nLives in Ulm.\n")
    assert connect.startswith("True ")
    assert failed.startswith("AGENT_NOT_FOUND {")
    assert "agent.tags[0]" in failed


def test_what_a_connection_can_be_told_is_on_the_page() -> None:
    table = {name for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert set(ConnectionOptions.__annotations__) - {"plaintext_api_key"} <= table
    assert "`plaintext_api_key=True`" in PAGE


def test_what_the_page_names_is_there() -> None:
    package = Path(__file__).parents[3] / "client" / "sendoff"
    told = re.findall(r"`(\w+(?:/|\.py))`", PAGE.partition("## Where things stand")[2])
    assert told
    assert [
        name for name in told if not (package / name).exists() and name not in ("async_caller.py", "caller.py")
    ] == []
