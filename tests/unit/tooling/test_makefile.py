"""The Makefile on machines that lack something, and what it tells about itself."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in which nothing has been set up."""
    shutil.copy2(ROOT / "Makefile", tmp_path)
    shutil.copy2(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def python(checkout: Path, script: str) -> str:
    """A stand-in for Python, as the argument for make."""
    path = checkout / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return f"PYTHON={path}"


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments], cwd=checkout, env=environment, capture_output=True, text=True, timeout=30
    )


def test_without_python_it_tells_which_one_it_needs(checkout: Path) -> None:
    outcome = make(checkout, "test", "PYTHON=/nowhere/python3")

    assert outcome.returncode != 0
    assert "/nowhere/python3 is older than 3.11 or missing" in outcome.stderr


def test_with_an_old_python_it_tells_which_one_it_needs(checkout: Path) -> None:
    outcome = make(checkout, "test", python(checkout, "exit 1"))

    assert outcome.returncode != 0
    assert "is older than 3.11 or missing" in outcome.stderr


def test_where_debian_lacks_venv_it_tells_what_to_install(checkout: Path) -> None:
    outcome = make(checkout, "test", python(checkout, '[ "$2" != venv ]'))

    assert outcome.returncode != 0
    assert "apt-get install python3-venv" in outcome.stderr


def test_a_set_up_that_failed_is_done_again(checkout: Path) -> None:
    for _ in range(2):
        outcome = make(checkout, "test", python(checkout, '[ "$2" != venv ]'))

        assert "Setting up .venv" in outcome.stdout


def test_make_alone_prints_every_target_that_is_for_people(checkout: Path) -> None:
    makefile = (checkout / "Makefile").read_text()
    targets = set(re.findall(r"^\.PHONY: ([a-z-]+)$", makefile, re.MULTILINE)) - {"weights"}

    printed = make(checkout).stdout

    assert {"run", "serve", "test", "check", "bench", "proto", "lock", "format", "snapshot", "clean"} <= targets
    assert set(re.findall(r"^  make ([a-z-]+) ", printed, re.MULTILINE)) == targets


def test_locked_versions_name_no_registry() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert not re.search(r"://|--(extra-)?index-url|--find-links", lock.read_text()), lock.name
