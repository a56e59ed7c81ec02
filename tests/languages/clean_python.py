"""Environments of Python that have what is installed into them and nothing else."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

INSTALL_TIMEOUT_S = 600
TIMEOUT_S = 60
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
"""Which may be on a machine."""


@dataclass(frozen=True, slots=True)
class CleanPython:
    """An environment of its own."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin/python"

    @property
    def packages_folder(self) -> Path:
        (found,) = self.folder.glob("lib/python3*/site-packages")
        return found

    async def install(self, *requirements: str) -> None:
        """With all that it depends on, by the pip of the tests: here there is none."""
        pip = (sys.executable, "-m", "pip", "--python", str(self.python), "--disable-pip-version-check")
        await told(*pip, "install", "--quiet", "--no-input", "--no-compile", *requirements, timeout_s=INSTALL_TIMEOUT_S)
        await told(*pip, "check")

    async def run(self, program: str, *arguments: str) -> str:
        """What the program prints. A warning is an error."""
        return await told(str(self.python), "-I", "-W", "error", "-c", program, *arguments)

    async def command(self, name: str, *arguments: str) -> str:
        """What one of its commands prints."""
        return await told(str(self.folder / "bin" / name), *arguments)

    def packages(self) -> set[str]:
        """What is installed."""
        return {path.name.split("-")[0] for path in self.packages_folder.glob("*.dist-info")}

    def summary(self) -> str:
        """How much that is; on disk without what Python compiles."""
        files = (path for path in self.packages_folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
        size_mb = sum(path.stat().st_size for path in files) / 1e6
        return f"{len(self.packages())} packages, {size_mb:.0f} MB"

    def version(self) -> str:
        """Of Python, as 3.13."""
        return self.packages_folder.parent.name.removeprefix("python")


async def clean_python(interpreter: Path, folder: Path) -> CleanPython:
    """A new one in that folder."""
    await told(str(interpreter), "-m", "venv", "--without-pip", str(folder))
    return CleanPython(folder)


async def told(*command: str, timeout_s: float = TIMEOUT_S) -> str:
    """What the command prints. It knows nothing of this checkout, and must end well."""
    process = await asyncio.create_subprocess_exec(
        *command, env=outside(), cwd="/", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(timeout_s):
            printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{' '.join(command)}:\n{printed.decode()}"
    return printed.decode()


def outside() -> dict[str, str]:
    """The environment without what points to this checkout or sets our programs up."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("SENDOFF_", "PYTHON", "VIRTUAL_ENV"))
    }


@functools.cache
def interpreter(version: str) -> Path | None:
    """The interpreter of that version on this machine; None where there is none."""
    candidates = [sys.executable, shutil.which(f"python{version}"), *_of_pyenv(version)]
    return next((Path(found) for found in candidates if found and _version(found) == version), None)


def newest() -> Path:
    """The newest on this machine."""
    return next(found for version in reversed(VERSIONS) if (found := interpreter(version)))


def _of_pyenv(version: str) -> list[str]:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return [str(path) for path in sorted(root.glob(f"versions/{version}.*/bin/python"))]


def _version(python: str) -> str | None:
    """None for one that does not run, such as a stand-in for a version that is not chosen."""
    asked = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    answer = subprocess.run(asked, capture_output=True, text=True, timeout=TIMEOUT_S)
    return answer.stdout.strip() if answer.returncode == 0 else None
