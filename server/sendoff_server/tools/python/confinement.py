"""How the process of a Python tool is kept apart: by bubblewrap where that works, else by limits alone.

Inside bubblewrap a tool sees the system's programs and Python's packages, read-only, a small home in memory and its
own processes; it has no network, and nothing of the server's files. Source of its options: bwrap(1), 0.7 or newer.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HOME_BYTES = 64 * 1024 * 1024
"""What a confined tool can write, and the largest file of any."""

_CODE = Path(__file__).parent
_INSIDE = "/sendoff"
"""Where a confined process finds `child.py`."""
_HOME = "/tmp/tool"  # noqa: S108 - in a file system of its own
_SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/localtime")
_PROCESSES = 64
_FILES = 256
_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Confinement:
    """What stands in front of the command of a tool's process."""

    bwrap: str | None
    """Path of bubblewrap. None: not confined."""

    def command(self, result_fd: int) -> Sequence[str]:
        code = _INSIDE if self.bwrap else str(_CODE)
        python = (sys.executable, "-I", "-B", f"{code}/child.py", str(result_fd))
        return (self.bwrap, *_walls(), "--", *python) if self.bwrap else python

    def environment(self, folder: str, key: str) -> Mapping[str, str]:
        home = folder or _HOME
        return {"PATH": _PATH, "LANG": "C.UTF-8", "HOME": home, "TMPDIR": home, KEY_VARIABLE: key}

    def limits(self, memory_bytes: int, cpu_s: int) -> Mapping[str, int]:
        """By names of `resource`. How many processes there may be is limited only where they are counted apart from
        all others of this user."""
        limits = {
            "RLIMIT_AS": memory_bytes,
            "RLIMIT_CPU": cpu_s,
            "RLIMIT_FSIZE": HOME_BYTES,
            "RLIMIT_NOFILE": _FILES,
            "RLIMIT_CORE": 0,
        }
        return limits | {"RLIMIT_NPROC": _PROCESSES} if self.bwrap else limits


KEY_VARIABLE = "SENDOFF_IDEMPOTENCY_KEY"
"""The variable in which a tool finds the key of its call: the same whenever the call is made again."""


def installed() -> Confinement:
    """Bubblewrap if it is on the PATH; whether it works is for a trial to tell."""
    return Confinement(shutil.which("bwrap"))


def _walls() -> Sequence[str]:
    pythons = [each for each in dict.fromkeys((sys.base_prefix, sys.prefix)) if not _is_in_system(each)]
    return (
        *("--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534", "--hostname", "tool"),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *("--proc", "/proc", "--dev", "/dev", "--size", str(HOME_BYTES), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"),  # noqa: S108
        *("--size", str(HOME_BYTES), "--tmpfs", "/tmp"),  # noqa: S108
        *(word for path in _SYSTEM for word in ("--ro-bind-try", path, path)),
        *(word for path in pythons for word in ("--ro-bind", path, path)),
        *("--ro-bind", str(_CODE), _INSIDE),
        *("--dir", _HOME, "--chdir", _HOME, "--remount-ro", "/"),
    )


def _is_in_system(prefix: str) -> bool:
    return os.path.commonpath((prefix, "/usr")) == "/usr"
