"""The table of results, for people at a terminal and for the README."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

HEAD = ("What", "Sendoff", "Ceiling", "Ratio", "Goal", "Met")
START, END = "<!-- bench:start -->", "<!-- bench:end -->"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure beside its ceiling, both from the same run on the same machine."""

    what: str
    ours: str
    ceiling: str
    ratio: float
    """Ours divided by the ceiling: a share for rates, a multiple for times and sizes."""
    goal: str = ""
    met: bool | None = None
    """None: there is no goal."""

    @property
    def cells(self) -> tuple[str, ...]:
        met = "" if self.met is None else "yes" if self.met else "**no**"
        return self.what, self.ours, self.ceiling, f"{self.ratio:.2f}", self.goal, met


def markdown(rows: Sequence[Row], told: str) -> str:
    """The table, and below it one line about the machine."""
    lines = [HEAD, ("---",) * len(HEAD), *(row.cells for row in rows)]
    return "\n".join(["| " + " | ".join(cells) + " |" for cells in lines] + ["", f"Measured on {told}."])


def show(rows: Sequence[Row], told: str) -> None:
    """Print it: drawn on a terminal, else as Markdown."""
    console = Console()
    if not console.is_terminal:
        print(markdown(rows, told))
        return
    table = Table(*HEAD)
    for row in rows:
        table.add_row(*row.cells)
    console.print(table, f"Measured on {told}.")


def write(path: Path, rows: Sequence[Row], told: str) -> None:
    """Put the table between the two marks of a Markdown file. Raises ValueError if they are not there."""
    page = path.read_text()
    pattern = re.compile(re.escape(START) + ".*?" + re.escape(END), re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"{path.name} has no {START} ... {END}")
    path.write_text(pattern.sub(lambda _: f"{START}\n{markdown(rows, told)}\n{END}", page, count=1))
