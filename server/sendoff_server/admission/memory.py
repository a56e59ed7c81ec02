"""How much memory this process uses, and may use, as the system tells."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_SHARE = 0.9
"""Of the memory that the system grants: beside the process itself it counts its files in memory and its children."""
_STATM = Path("/proc/self/statm")
_GROUPS = Path("/sys/fs/cgroup")


def used_bytes() -> int | None:
    """What is resident; None where the system does not tell it in this way."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def limit_bytes(max_memory_mb: int, processes: int) -> int | None:
    """The one that is set for a process; else its part of what the container may have, or of what the machine has."""
    if max_memory_mb:
        return max_memory_mb * 1024 * 1024
    granted = [each for each in (_of_container(), _of_machine()) if each is not None]
    return int(min(granted) * _SHARE / processes) if granted else None


def _of_machine() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None


def _of_container(groups: Path = _GROUPS, own: Path = Path("/proc/self/cgroup")) -> int | None:
    """The least that the control group of the process, or one around it, may have; of either version of them."""
    return min(_limits(groups, own), default=None)


def _limits(groups: Path, own: Path) -> Iterator[int]:
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers in ("", "memory"):
            root, limit = (groups, "memory.max") if not controllers else (groups / "memory", "memory.limit_in_bytes")
            group = root / name.lstrip("/")
            for each in (group, *group.parents):
                if each.is_relative_to(root):
                    yield from _limit(each / limit)


def _limit(file: Path) -> Iterator[int]:
    """Nothing where there is none: the file is missing, says "max", or as much as there can be."""
    try:
        told = file.read_text().strip()
    except OSError:
        return
    if told.isdecimal() and int(told) < 1 << 60:
        yield int(told)
