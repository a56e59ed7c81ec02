"""What is said of a commit that is to be released: everything that it lacks, and nothing when it lacks nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
VERSION = "7.8.9"


@pytest.fixture
def commit(tmp_path: Path) -> Path:
    """A checkout that can be released."""
    declared = (ROOT / "pyproject.toml").read_text()
    tmp_path.joinpath("pyproject.toml").write_text(
        re.sub(r'^version = ".*"', f'version = "{VERSION}"', declared, flags=re.M)
    )
    tmp_path.joinpath("CHANGELOG.md").write_text(f"# Changelog\n\n## [Unreleased]\n\n## [{VERSION}] - 2031-02-03\n")
    shutil.copytree(ROOT / "protos", tmp_path / "protos", ignore=shutil.ignore_patterns("__pycache__", "*.md"))
    baseline = tmp_path / "protos/baseline.binpb"
    buf = str(Path(sys.executable).with_name("buf"))
    run(tmp_path, buf, "build", "protos", "--exclude-source-info", "--output", str(baseline))
    run(tmp_path, "git", "init", "--quiet")
    save(tmp_path)
    return tmp_path


def run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True, timeout=60)


def save(folder: Path) -> None:
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com", "-c", "commit.gpgsign=false")
    run(folder, "git", "add", "--all")
    run(folder, "git", *who, "commit", "--quiet", "--message", "All")


def check(folder: Path) -> tuple[int, str]:
    """Its exit code, and what it says."""
    command = [sys.executable, str(ROOT / "release/checks.py"), "--root", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert not done.stderr
    return done.returncode, done.stdout


def test_nothing_is_said_of_a_commit_that_can_be_released(commit: Path) -> None:
    assert check(commit) == (0, "")


def test_everything_that_is_missing_is_said_at_once(commit: Path) -> None:
    commit.joinpath("CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n")
    service = commit / "protos/sendoff/v1/file.proto"
    service.write_text(service.read_text() + "\n// More.\nmessage More {}\n")
    run(commit, "git", "tag", f"v{VERSION}")

    code, said = check(commit)

    assert code == 1
    assert f"## [{VERSION}] - YEAR-MONTH-DAY" in said
    assert "make baseline" in said
    assert "M protos/sendoff/v1/file.proto" in said
    assert f"v{VERSION} is released already" in said
    assert said.count("\n- ") == 3


def test_a_version_that_is_none_is_refused(commit: Path) -> None:
    declared = commit / "pyproject.toml"
    declared.write_text(declared.read_text().replace(f'"{VERSION}"', '"7.8.9.dev1"', 1))
    save(commit)

    code, said = check(commit)

    assert code == 1
    assert "'7.8.9.dev1' is no version that is released" in said
