"""What the page on traces says of names."""

from __future__ import annotations

import re
from pathlib import Path

from sendoff_server.tracing import exporting, names

PAGE = (Path(names.__file__).parent / "README.md").read_text()
NAMES = {value for key, value in vars(names).items() if key.isupper() and "." in value}


def test_the_page_has_every_attribute_and_no_other() -> None:
    kinds = "rpc|http|url|server|error|messaging|gen_ai|mcp|sendoff"
    told = set(re.findall(rf"`((?:{kinds})\.[a-z_.]+[a-z])`", PAGE))
    assert told == NAMES


def test_the_page_has_the_variables_that_are_looked_at() -> None:
    looked_at = set(re.findall(r'"(OTEL_[A-Z_]+)"', Path(exporting.__file__).read_text()))
    assert looked_at <= set(re.findall(r"OTEL_[A-Z_]+", PAGE))


def test_the_page_says_how_long_a_stop_waits() -> None:
    assert f"waits {exporting.FLUSH_S:g} s at most" in PAGE
