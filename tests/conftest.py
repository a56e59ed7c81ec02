"""Fixtures by subject; each is written in the file of its subject."""

pytest_plugins = ["tests.fixtures.server", "tests.fixtures.receiver", "tests.fixtures.connects"]
