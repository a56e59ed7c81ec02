"""`sendoff-server mcp`, and files of MCP servers that cannot be used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sendoff_server.__main__ import cli
from tests.fixtures.mcp_servers import misbehaving


def listed(tmp_path: Path, entries: object) -> tuple[int, str, str]:
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps({"mcpServers": entries}))
    command = [sys.executable, "-m", "sendoff_server", "mcp", "ls", "--mcp-servers-file", str(file)]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return outcome.returncode, outcome.stdout, outcome.stderr


def test_the_command_shows_tools_effects_and_approvals(tmp_path: Path) -> None:
    code, out, err = listed(tmp_path, {"odd": misbehaving("--bad-schema", requires_approval=["fail"])})

    assert code == 0
    assert out.splitlines()[0].startswith("odd (stdio ")
    assert {"  odd_echo  READ_ONLY", "  odd_key  IDEMPOTENT", "  odd_fail  ONCE  requires approval"} <= {
        *out.splitlines()
    }
    assert "odd: the tool 'crooked' is left out" in err


def test_the_command_tells_what_is_wrong_with_a_server_and_exits_with_1(tmp_path: Path) -> None:
    words = "import sys; sys.exit('the licence has run out')"
    code, out, err = listed(tmp_path, {"a": {"command": sys.executable, "args": ["-c", words]}, "b": misbehaving()})

    assert code == 1
    assert "b (stdio" in out
    assert f"a (stdio {sys.executable}) does not answer: " in err
    assert "  | the licence has run out" in err


@pytest.mark.parametrize(
    "command", [["mcp", "ls"], ["serve", "--scripted-model", "--default-model", "scripted/echo"]], ids=["ls", "serve"]
)
def test_a_file_that_cannot_be_used_ends_the_command_with_2(tmp_path: Path, command: list[str]) -> None:
    file = tmp_path / "mcp.json"
    file.write_text('{"mcpServers": {"a": {"comand": "x"}}}')

    outcome = CliRunner().invoke(cli, command, env={"SENDOFF_MCP_SERVERS_FILE": str(file)})

    assert outcome.exit_code == 2
    assert f"{file}: server 'a': expected an object with either command or url" in outcome.stderr
