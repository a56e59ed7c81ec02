"""The file of quotas: what it says counts, and nothing in it is passed over."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sendoff_server import admission
from sendoff_server.admission.book import NO_QUOTAS, BadQuotas, Quotas, read
from sendoff_server.admission.book_file import LOOK_S, BookFile
from tests.fixtures.clock import ManualClock

DEFAULT = Quotas(open_runs=100, watchers=10, runs_under_way=5)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "quotas.toml"


def test_a_tenant_has_the_default_but_for_what_the_file_says_of_him(file: Path) -> None:
    file.write_text("[tenants.acme]\nopen_runs = 7\naccepts_per_s = 0.5\nwatchers = 0\n")
    book = read(file, DEFAULT)
    assert book.of_tenant("acme") == Quotas(open_runs=7, accepts_per_s=0.5, watchers=0, runs_under_way=5)
    assert book.of_tenant("another") == DEFAULT


def test_a_key_has_only_what_the_file_says_of_it(file: Path) -> None:
    file.write_text("[keys.4f2a]\naccepts_per_s = 3\naccepts_burst = 9\nrequest_bytes = 1024\n")
    book = read(file, DEFAULT)
    assert book.of_key("4f2a") == Quotas(accepts_per_s=3, accepts_burst=9, request_bytes=1024)
    assert book.of_key("another") == NO_QUOTAS


def test_the_burst_of_the_default_does_not_go_with_another_rate(file: Path) -> None:
    file.write_text("[tenants.acme]\naccepts_per_s = 1\n")
    assert read(file, Quotas(accepts_per_s=50, accepts_burst=200)).of_tenant("acme").accepts_burst == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[tenants.acme]\nopen_run = 7\n", "tenants.acme.open_run is no quota"),
        ("[tenant.acme]\nopen_runs = 7\n", "tenant is no quota"),
        ("[keys.4f2a]\nopen_runs = 7\n", "keys.4f2a.open_runs is no quota"),
        ("[tenants.acme]\nwatchers = -1\n", "tenants.acme.watchers: "),
        ("[tenants.acme]\nwatchers = 1.5\n", "tenants.acme.watchers: "),
        ("[tenants.acme]\naccepts_per_s = nan\n", "tenants.acme.accepts_per_s: "),
        ("[tenants.acme\n", "line 1"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(file: Path, text: str, told: str) -> None:
    file.write_text(text)
    with pytest.raises(BadQuotas) as raised:
        read(file, DEFAULT)
    assert str(file) in str(raised.value)
    assert told in str(raised.value)


def test_a_file_that_is_missing_is_refused(file: Path) -> None:
    with pytest.raises(BadQuotas):
        BookFile(file, DEFAULT, ManualClock())


async def test_a_change_of_the_file_counts_without_a_restart_and_a_bad_one_does_not(file: Path) -> None:
    _write(file, "[tenants.acme]\nopen_runs = 7\n")
    clock = ManualClock()
    book = BookFile(file, DEFAULT, clock)
    with capture_logs() as logged:
        async with book.running():
            await clock.advance(0)
            for text in ("[tenants.acme]\nopen_runs = 8  # more\n", "[tenants.acme]\nopen_runs = 'none at all'\n"):
                _write(file, text)
                await clock.advance(LOOK_S)
                assert book.of_tenant("acme").open_runs == 8
            _write(file, "")
            await clock.advance(LOOK_S)
    assert book.of_tenant("acme") == DEFAULT
    assert [line["log_level"] for line in logged] == ["info", "error", "info"]


def _write(file: Path, text: str) -> None:
    file.write_text(text)


def test_the_file_that_the_page_shows_is_one(file: Path) -> None:
    page = Path(admission.__file__).with_name("README.md").read_text()
    file.write_text(page.partition("```toml\n")[2].partition("```")[0])
    book = read(file, NO_QUOTAS)
    names = {each.name for each in fields(Quotas)}
    assert {name for name in names if getattr(book.of_tenant("acme"), name)} == names
    assert book.of_key("4f2a").watchers == 10
