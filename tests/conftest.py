"""Fixtures by subject; each is written in the file of its subject."""

import pytest

from tests import postgres

pytest_plugins = ["tests.fixtures.server", "tests.fixtures.receiver", "tests.fixtures.postgres"]


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # workers of xdist are part of the run that began them
        postgres.begin_run()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        postgres.end_run()
