"""What the tests of a language share, and the table at the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.languages.model import StoryModel, story_model
from tests.languages.program import Builds
from tests.languages.server import StoryServer, story_server
from tests.languages.toolchain import LANGUAGES, Language, missing, versions

_HERE = Path(__file__).parent
_OUTCOMES = ("failed", "error", "skipped", "passed")


@pytest.fixture(scope="session")
def builds() -> Builds:
    return Builds()


@pytest.fixture(params=LANGUAGES, ids=lambda language: language.name)
async def language(
    request: pytest.FixtureRequest, builds: Builds, record_property: Callable[[str, object], None]
) -> Language:
    """Each that this machine can build, built; the others are skipped, which says what to install."""
    chosen: Language = request.param
    record_property("language", chosen.name)
    if absent := missing(chosen.needs):
        pytest.skip(f"{chosen.name} is NOT TESTED, for want of {', '.join(absent)}")
    record_property("versions", versions(chosen.needs))
    is_first = chosen.name not in builds.seconds
    await builds.build(chosen)
    if is_first:
        record_property("build_s", builds.seconds[chosen.name])
    return chosen


@pytest.fixture
async def model() -> AsyncIterator[StoryModel]:
    async with story_model() as serving:
        yield serving


@pytest.fixture
async def story_server_process(tmp_path: Path, model: StoryModel) -> AsyncIterator[StoryServer]:
    async with story_server(tmp_path, model.url) as serving:
        yield serving


@dataclass
class Row:
    """What came of a language's tests."""

    outcomes: Counter[str] = field(default_factory=Counter)
    versions: str = ""
    build_s: float = 0.0
    tests_s: float = 0.0

    def add(self, outcome: str, report: pytest.TestReport) -> None:
        told = dict(report.user_properties)
        self.outcomes[outcome] += 1
        self.versions = str(told.get("versions", self.versions))
        self.build_s += float(str(told.get("build_s", 0.0)))
        self.tests_s += report.duration if report.when == "call" else 0.0

    def __str__(self) -> str:
        told = ", ".join(f"{count} {outcome}" for outcome, count in self.outcomes.items())
        return f"{told:20} build {self.build_s:6.1f} s, tests {self.tests_s:6.1f} s  {self.versions}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of a language share what it builds, as those of any other file here do: one process has them all."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item: pytest.Item) -> str:
    parameters = getattr(item, "callspec", None)  # which only tests with parameters have
    chosen = parameters and parameters.params.get("language")
    return chosen.name if isinstance(chosen, Language) else item.path.stem


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each language. A test counts for the one that it has recorded as its property `language`; the
    properties `versions` and `build_s` are shown, too."""
    rows: defaultdict[str, Row] = defaultdict(Row)
    for outcome in _OUTCOMES:
        for report in terminalreporter.stats.get(outcome, ()):
            if name := dict(getattr(report, "user_properties", ())).get("language"):  # not of modules that fail to load
                rows[str(name)].add(outcome, report)
    if rows:
        terminalreporter.section("languages")
    for name, row in rows.items():
        terminalreporter.line(f"{name:18} {row}")
