"""What the machine gives: room on the disk, open files, programs."""

from __future__ import annotations

import os
import resource
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from sendoff_server.doctor.findings import Finding, ok, problem, warning
from sendoff_server.settings import Settings
from sendoff_server.settings_flags import variable

_MIN_FREE_BYTES = 1024**3
_FILES_BESIDE_CONNECTIONS = 256
"""For the database, gRPC's connections, calls of models and tools, and callbacks."""


def check(settings: Settings) -> Iterator[Finding]:
    yield from _data_dir(settings)
    yield _open_files(settings)
    if settings.python_tools and shutil.which("bwrap") is None:
        yield warning(
            "python tools",
            "callers may put Python tools, and they run with all that this user may do",
            f"install bubblewrap, or set {variable('python_tools')}=false",
        )


def _data_dir(settings: Settings) -> Iterator[Finding]:
    directory, name = settings.data_dir, variable("data_dir")
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield problem(
            "data directory", f"{existing} may not be written to", f"let this user write there, or set {name}"
        )
        return
    free = shutil.disk_usage(existing).free
    told = f"{directory} has {free / 1024**3:.1f} GiB free"
    if free < _MIN_FREE_BYTES:
        yield warning("data directory", told, f"make room: without any, nothing is accepted; or set {name}")
    else:
        yield ok("data directory", told)
    yield from _secret_file(settings.callback_secret_path)


def _secret_file(path: Path) -> Iterator[Finding]:
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # the server makes it
    if mode & (stat.S_IRWXG | stat.S_IRWXO) and not _is_mounted_secret(path):
        yield warning("callback secret", f"others than this user may read {path}", f"chmod 600 {path}")


def _is_mounted_secret(path: Path) -> bool:
    """Whether it belongs to somebody else, as what an orchestrator mounts does: nothing to be done from here."""
    return path.stat().st_uid != os.getuid()


def _open_files(settings: Settings) -> Finding:
    most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.max_http_connections + settings.max_callbacks + _FILES_BESIDE_CONNECTIONS
    told = f"this process may open {most} files, and at its limits wants about {wanted}"
    if most < wanted:
        mend = f"ulimit -n {wanted}" if wanted <= hard else f"raise the hard limit of open files, which is {hard}"
        return warning("open files", told, f"{mend}; or lower {variable('max_http_connections')}")
    return ok("open files", told)
