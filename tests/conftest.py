"""Fixtures by subject; each is written in the file of its subject."""

from __future__ import annotations

import os

import pytest

from tests import postgres

pytest_plugins = [
    "tests.fixtures.server",
    "tests.fixtures.receiver",
    "tests.fixtures.connects",
    "tests.fixtures.postgres",
]


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # workers of xdist are part of the run that began them
        postgres.begin_run()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        postgres.end_run()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two for each processor: more than half of its time a test waits for processes, timers and the disk."""
    return 2 * (os.cpu_count() or 1)
