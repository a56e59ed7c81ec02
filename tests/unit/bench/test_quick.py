"""The benchmark itself: that it runs and yields figures. What the figures are is not tested."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import typer

from bench import __main__ as command
from bench.lab import Lab
from bench.seed import ended, new_agents, queue, seed, write
from bench.table import END, START, Row
from bench.table import write as write_table
from sendoff import v1
from sendoff_server.store.port import DEFAULT_TENANT
from sendoff_server.store.sqlite.engine import SqliteStore

ROOT = Path(__file__).parents[3]
LONGEST_S = 120


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_S, check=False)


def test_a_quick_run_yields_a_table_of_positive_ratios_to_the_bare_server(tmp_path: Path) -> None:
    ended = _bench("--quick", "--only", "accepts", "--directory", str(tmp_path))

    assert ended.returncode == 0, ended.stderr
    head, _, *rows = [line.split(" | ") for line in ended.stdout.splitlines() if line.startswith("|")]
    assert [cells[0] for cells in rows if "callers" in cells[0]] == [
        "| Durable accepts/s, 16 callers",
        "| Durable accepts/s, 64 callers",
    ]
    assert all(float(cells[head.index("Ratio")]) > 0 for cells in rows)
    assert list(tmp_path.iterdir()) == []


def test_a_quick_run_of_replicas_yields_figures_of_one_and_of_two_and_leaves_nothing(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:  # PostgreSQL does not run as root, nor where only root may go
        Path(directory).chmod(0o755)
        ended = _bench("--quick", "--only", "pg-reads", "--directory", directory)
        assert list(Path(directory).iterdir()) == []

    assert ended.returncode == 0, ended.stderr
    rows = [line.split(" | ") for line in ended.stdout.splitlines() if line.startswith("| PostgreSQL")]
    assert [cells[0] for cells in rows] == [
        "| PostgreSQL, 1 replica: GetRun/s, 16 callers",
        "| PostgreSQL, 2 replicas: GetRun/s, 16 callers",
    ]
    assert all(float(cells[3]) > 0 for cells in rows)


async def test_seeded_runs_have_ended_and_queued_ones_wait_to_be_claimed(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "sendoff.db") as store:
        agents = await new_agents(store, 2)
        run_ids = await seed(store, agents, 4)
        seeded = await store.runs(DEFAULT_TENANT, run_ids)
        await queue(store, agents, 4)
        claims = await store.claim(10)
        await write(store, [ended(claim) for claim in claims])
        assert await store.claim(10) == []

    assert [seeded[run_id].status for run_id in run_ids] == [v1.RUN_STATUS_COMPLETED] * 4
    assert [claim.run.agent_id for claim in claims] == agents


async def test_what_can_not_be_seeded_stops_the_measurement(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "sendoff.db") as store:
        agents = await new_agents(store, 1)
        await queue(store, agents, 0)
        (claim,) = await store.claim(1)
        await write(store, [ended(claim)])
        with pytest.raises(RuntimeError, match="not written"):
            await write(store, [ended(claim)])


def test_a_measurement_that_does_not_exist_is_refused_with_those_that_do() -> None:
    ended = _bench("--only", "nothing")

    assert ended.returncode == 2
    assert "accepts" in ended.stderr


ROW = Row(what="Calls/s", ours="1/s", ceiling="2/s", ratio=0.5, goal="≥ 0.6", met=False)


def test_the_table_replaces_what_stands_between_the_marks_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{START}\nold\n{END}\nafter\n")

    write_table(page, [ROW], "a machine")

    lines = page.read_text().splitlines()
    assert lines[:2] == ["before", START]
    assert lines[-2:] == [END, "after"]
    assert "| Calls/s | 1/s | 2/s | 0.50 | ≥ 0.6 | **no** |" in lines
    assert "old" not in lines


def test_a_page_without_marks_is_left_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("nothing here\n")

    with pytest.raises(ValueError, match=r"README\.md"):
        write_table(page, [ROW], "a machine")

    assert page.read_text() == "nothing here\n"


@asynccontextmanager
async def _nowhere(**_: object) -> AsyncIterator[None]:
    yield None


async def _measured(_: Lab) -> list[Row]:
    return [ROW]


async def _broken(_: Lab) -> list[Row]:
    raise RuntimeError("the server did not start")


def test_a_measurement_that_fails_is_told_and_takes_nothing_from_the_others_but_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "MEASUREMENTS", {"broken": _broken, "good": _measured})
    monkeypatch.setattr(command, "README", tmp_path / "README.md")
    monkeypatch.setattr(command, "lab", _nowhere)

    with pytest.raises(typer.Exit) as ended:
        command.bench(directory=tmp_path, write_readme=True)

    printed = capsys.readouterr()
    assert ended.value.exit_code == 1
    assert "| Calls/s |" in printed.out
    assert "failed: broken" in printed.err
    assert not (tmp_path / "README.md").exists()
