"""The pages of the examples: what each has, and what they lead to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.languages.toolchain import EXAMPLES, LANGUAGES, Language

PAGE = EXAMPLES / "README.md"
PAGES = sorted([*EXAMPLES.glob("*.md"), *EXAMPLES.glob("*/*.md")])
HEADINGS = ["Build", "Run", "In your own service"]
TOPICS = ("Generate", "Connect", "Call", "Watch", "Retry", "Deadlines", "Keep-alive", "TLS and token", "Load balancing")
"""What each page tells, in this order."""


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_every_language_has_the_same_page(language: Language) -> None:
    page = (language.folder / "README.md").read_text()

    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == HEADINGS
    assert len(re.findall(r"^```sh$", page, re.MULTILINE)) == 2, "what is built with, and what is run with"
    told = re.findall(r"^(?:### |\*\*)([A-Z][^*\n.]*)", page, re.MULTILINE)
    assert [topic for topic in told if topic in TOPICS] == [*TOPICS]


def test_every_example_is_tested_and_told_of() -> None:
    folders = {path.parent.name for path in EXAMPLES.glob("*/README.md")}
    told = re.findall(r"^\| .*\]\((\w+)/README\.md\) \|$", PAGE.read_text(), re.MULTILINE)

    assert folders == {language.name for language in LANGUAGES} == set(told)
    assert len(told) == len(set(told))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(EXAMPLES)))
def test_what_is_linked_is_there(page: Path) -> None:
    linked = [target for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()) if "://" not in target]

    assert [target for target in linked if not (page.parent / target).exists()] == []
