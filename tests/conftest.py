"""Fixtures by subject; each is written in the file of its subject."""

from __future__ import annotations

import gc
import os
import signal

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = [
    "tests.fixtures.server",
    "tests.fixtures.receiver",
    "tests.fixtures.connects",
    "tests.fixtures.postgres",
]

# How long an example takes says more about the machine than about what is tried.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if "CI" not in os.environ:  # there the library's own profile is unhurried too, and draws the same each time
    settings.load_profile("unhurried")


def pytest_configure() -> None:
    """A job in the background ignores Ctrl-C, and so would every process that is started to be interrupted."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Thousands of tests stay to the end; a collection of garbage need not look at them each time."""
    gc.collect()
    gc.freeze()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two for each processor: more than half of its time a test waits for processes, timers and the disk."""
    return 2 * (os.cpu_count() or 1)
