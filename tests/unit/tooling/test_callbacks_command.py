"""`sendoff-server callbacks`, and files of secrets that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sendoff_server.__main__ import cli


def test_the_command_prints_the_secrets_and_makes_the_first(tmp_path: Path) -> None:
    command = ["callbacks", "secret", "--data-dir", str(tmp_path)]
    first = CliRunner().invoke(cli, command)

    assert first.exit_code == 0
    assert first.stdout == (tmp_path / "callback.secret").read_text()
    assert CliRunner().invoke(cli, command).stdout == first.stdout


@pytest.mark.parametrize("command", [["callbacks", "secret"], ["serve", "--default-model", "scripted/echo"]])
def test_a_file_that_cannot_be_used_ends_the_command_with_one_line(tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "callback.secret"
    path.write_text("hunter2")
    options = ["--data-dir", str(tmp_path / "data"), "--callback-secret-file", str(path)]
    if command[0] == "serve":
        options += ["--scripted-model", "--grpc-address", "127.0.0.1:0", "--http-address", "off"]

    outcome = CliRunner().invoke(cli, [*command, *options])

    assert outcome.exit_code in (1, 2)
    assert f"sendoff-server: the file of callback secrets {path} must have" in outcome.stderr
    assert "hunter2" not in outcome.stderr
