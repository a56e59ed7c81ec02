"""Whether this commit can be released: says everything that is missing, and how to mend it. Changes nothing."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUF = Path(sys.executable).parent / "buf"


def version(root: Path) -> str:
    declared: str = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    return declared


def of_the_version(root: Path) -> str | None:
    if re.fullmatch(r"\d+\.\d+\.\d+", version(root)):
        return None
    return f"pyproject.toml: {version(root)!r} is no version that is released: three numbers"


def of_the_changelog(root: Path) -> str | None:
    heading = rf"^## \[{re.escape(version(root))}\] - \d{{4}}-\d\d-\d\d$"
    if re.search(heading, (root / "CHANGELOG.md").read_text(), re.MULTILINE):
        return None
    return f"CHANGELOG.md: name what is under [Unreleased] `## [{version(root)}] - YEAR-MONTH-DAY`"


def of_the_baseline(root: Path) -> str | None:
    command = [str(BUF), "build", str(root / "protos"), "--exclude-source-info", "--output", "-#format=binpb"]
    contract = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout  # noqa: S603  the command is ours
    if contract == (root / "protos/baseline.binpb").read_bytes():
        return None
    return "protos/baseline.binpb is not today's contract: make baseline, and commit it"


def of_the_checkout(root: Path) -> str | None:
    changed = git(root, "status", "--porcelain")
    return f"not committed:\n{changed.rstrip()}" if changed else None


def of_the_tag(root: Path) -> str | None:
    if not git(root, "tag", "--list", f"v{version(root)}"):
        return None
    return f"v{version(root)} is released already: set a higher version in pyproject.toml"


CHECKS: tuple[Callable[[Path], str | None], ...] = (
    of_the_version,
    of_the_changelog,
    of_the_baseline,
    of_the_checkout,
    of_the_tag,
)
"""Each gives None when all is well, else what is wrong and what to do."""


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603  ours, too


def main() -> int:
    parser = argparse.ArgumentParser(description="Say what is missing before this commit can be released.")
    parser.add_argument("--root", type=Path, default=ROOT, help="another checkout to look at")
    root = parser.parse_args().root
    problems = [problem for check in CHECKS if (problem := check(root))]
    for problem in problems:
        print(f"- {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
