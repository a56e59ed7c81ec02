"""The checks of the contract can fail: each is run as `make check` runs it, on a checkout that breaks the rule."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SERVICE = "protos/sendoff/v1/run_service.proto"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the checks read, with the same environments, which count as ready."""
    for folder in ("protos", "client/sendoff/v1", "typings"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("Makefile", "pyproject.toml", "requirements/dev.txt", "requirements/gen.txt"):
        tmp_path.joinpath(file).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / file, tmp_path / file)
    for environment in (".venv", ".venv-gen"):
        tmp_path.joinpath(environment).symlink_to(ROOT / environment)
    return tmp_path


def check(checkout: Path, step: str) -> subprocess.CompletedProcess[str]:
    # What is up to date in the real checkout is not made again in the copy, whatever the times of its files.
    ready = [f"--old-file={name}" for name in (".venv/.locked", ".venv/.ready", ".venv-gen/.ready")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *ready, step], cwd=checkout, env=environment, capture_output=True, text=True, timeout=60
    )


def change(checkout: Path, file: str, old: str, new: str) -> None:
    path = checkout / file
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("  bool rollback = 2;", "  bool roll_back = 2;", id="a field renamed"),
        pytest.param("  bool rollback = 2;", "  string rollback = 2;", id="a field of another type"),
        pytest.param("  optional string reason = 3;", "  reserved 3;", id="a field removed"),
        pytest.param("  WHEN_BUSY_STEER = 5;", "  WHEN_BUSY_STEER = 6;", id="an enum value renumbered"),
        pytest.param("rpc CancelRun(CancelRunRequest)", "rpc StopRun(CancelRunRequest)", id="an RPC renamed"),
    ],
)
def test_a_break_of_the_contract_is_caught(checkout: Path, old: str, new: str) -> None:
    change(checkout, SERVICE, old, new)

    outcome = check(checkout, "check-proto-breaking")

    assert outcome.returncode != 0
    assert "run_service.proto" in outcome.stdout
    assert "-> undo the break" in outcome.stdout


def test_an_addition_to_the_contract_is_no_break(checkout: Path) -> None:
    change(checkout, SERVICE, "  bool rollback = 2;", "  bool rollback = 2;\n  // More.\n  bool more = 15;")

    outcome = check(checkout, "check-proto-breaking")

    assert outcome.returncode == 0, outcome.stdout


def test_an_element_without_a_comment_does_not_lint(checkout: Path) -> None:
    change(checkout, SERVICE, "  bool rollback = 2;", "  bool rollback = 2;\n  bool more = 15;")

    outcome = check(checkout, "check-proto-lint")

    assert outcome.returncode != 0
    assert "more" in outcome.stdout


def test_protos_that_are_not_formatted_are_told(checkout: Path) -> None:
    change(checkout, SERVICE, "  bool rollback = 2;", "   bool rollback=2;")

    outcome = check(checkout, "check-proto-format")

    assert outcome.returncode != 0
    assert "-> make format" in outcome.stdout


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda made: made.joinpath("run_pb2.py").write_text("changed"), id="changed"),
        pytest.param(lambda made: made.joinpath("run_pb2.pyi").unlink(), id="missing"),
        pytest.param(lambda made: made.joinpath("gone_pb2.py").write_text(""), id="left over"),
    ],
)
def test_generated_code_that_is_not_fresh_is_told(checkout: Path, spoil: Callable[[Path], None]) -> None:
    spoil(checkout / "client" / "sendoff" / "v1")

    outcome = check(checkout, "check-proto-generated")

    assert outcome.returncode != 0
    assert "client/sendoff/v1/" in outcome.stdout
    assert "-> make proto" in outcome.stdout
