"""The machine that is measured on: which process gets which core, and what its disk does."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import grpc

PROBES = 50
PROBE_BYTES = 4096


@dataclass(frozen=True)
class Cores:
    """Who runs where, so that the two sides of a measurement do not take time from each other."""

    server: frozenset[int]
    client: frozenset[int]

    @property
    def all(self) -> frozenset[int]:
        return self.server | self.client

    @property
    def told(self) -> str:
        if self.server == self.client:
            return "server and client share one core"
        return f"server pinned to one core, client to {len(self.client)} other{'s' * (len(self.client) > 1)}"


def cores() -> Cores:
    """One core for the server, the others for the client; everything on one if there is but one."""
    first, *others = sorted(os.sched_getaffinity(0))
    return Cores(frozenset({first}), frozenset(others or {first}))


def commit_ms(directory: Path) -> float:
    """Median milliseconds of one small write with fdatasync in that directory: what a commit costs at least."""
    with tempfile.TemporaryFile(dir=directory) as file:
        return statistics.median(_write_ms(file.fileno()) for _ in range(PROBES))


def _write_ms(descriptor: int) -> float:
    begun = time.perf_counter()
    os.write(descriptor, b"\0" * PROBE_BYTES)
    os.fdatasync(descriptor)
    return (time.perf_counter() - begun) * 1000


def told(directory: Path) -> str:
    """One line about the machine, for beneath the table."""
    return (
        f"{os.cpu_count()} cores ({_processor()}), Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, grpcio {grpc.__version__}; {cores().told}; "
        f"a write with fdatasync takes {commit_ms(directory):.2f} ms"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
