"""`sendoff top`: the runs that are under way, as they are now and again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sendoff import v1
from sendoff.cli import output, wording
from sendoff.cli.ids import AgentOfRuns
from sendoff.cli.live.progress import elapsed
from sendoff.cli.session import Json, session
from sendoff.client import Client
from sendoff.errors import DeadlineExceeded, NotNow

_MOST_PER_PAGE = 1000
_INTERVAL_S = 2.0
_COLUMNS = ("RUN", "DOES", "AGE", "STEPS", "TOKENS", "COST", "AGENT")
_NEEDED_WIDTHS = {"STEPS": 70, "TOKENS": 90, "COST": 100, "AGENT": 150}
"""How wide a terminal must be for a column to be shown."""
_MIN_WIDTHS = {"RUN": 40, "AGE": 7, "STEPS": 5, "TOKENS": 15, "COST": 8}


def top(
    context: typer.Context,
    agent: AgentOfRuns = None,
    interval: Annotated[float | None, typer.Option(help="Seconds between two looks; unset: 2.", min=0.2)] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once.")] = False,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
    as_json: Json = False,
) -> None:
    """Show the runs that are under way or wait, newest first; on a terminal until Ctrl-C, elsewhere once."""
    if interval is not None and (once or as_json):
        raise typer.BadParameter("--interval is about looking again, which --once and --json do not")
    with session(context).client() as client:

        def look() -> list[v1.Run]:
            return list(islice(client.runs(active=True, agent_id=agent, page_size=min(limit, _MOST_PER_PAGE)), limit))

        if once or as_json or not output.is_terminal():
            output.listing(look(), _COLUMNS, lambda run: _row(run, time.time()), as_json=as_json)
        else:
            _look_again_and_again(client, look, interval or _INTERVAL_S)


def _look_again_and_again(client: Client, look: Callable[[], list[v1.Run]], interval_s: float) -> None:
    found: list[v1.Run] = []
    console = Console(highlight=False)
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                failure = ""
                try:
                    found = look()
                except (NotNow, DeadlineExceeded) as error:  # what was seen last stays, and it is tried again
                    failure = error.message
                live.update(_drawn(found, client.connection.address, failure, time.time(), console.width), refresh=True)
                time.sleep(interval_s)
    except KeyboardInterrupt:
        return


def _drawn(found: list[v1.Run], address: str, failure: str, now_s: float, width: int) -> Group:
    """A headline and a table."""
    clock = time.strftime("%H:%M:%S", time.localtime(now_s))
    headline = Text(f"{len(found)} under way at {address}, {clock}; Ctrl-C ends", style="bold")
    if failure:
        headline = Text(f"{clock} {output.one_line(failure)}", style="yellow")
    headline.no_wrap, headline.overflow = True, "ellipsis"
    shown = [number for number, column in enumerate(_COLUMNS) if width >= _NEEDED_WIDTHS.get(column, 0)]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in (_COLUMNS[number] for number in shown):
        table.add_column(column, no_wrap=True, overflow="ellipsis", min_width=_MIN_WIDTHS.get(column))
    for run in found:
        cells = _row(run, now_s)
        table.add_row(*(Text(output.one_line(cells[number])) for number in shown))
    return Group(headline, Text(), table)


def _row(run: v1.Run, now_s: float) -> tuple[str, ...]:
    phase = wording.phase(run.phase) or wording.status(run.status)
    waits = wording.wait(run.wait)
    return (
        run.id,
        f"{phase.replace('_', ' ')}: {waits}" if waits else phase.replace("_", " "),
        elapsed(max(0.0, now_s - run.create_time.ToNanoseconds() / 1e9)),
        str(run.usage.step_count or ""),
        wording.tokens(run.usage),
        wording.cost(run.usage),
        run.agent_id,
    )
