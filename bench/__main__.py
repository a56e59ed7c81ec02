"""`python -m bench`: measure the server against its ceilings."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from bench import machine, table
from bench.database import Engine
from bench.lab import Lab, lab
from bench.rows import (
    accepts,
    across,
    at_rest,
    completed,
    library,
    long_conversation,
    neighbour,
    piled,
    reads,
    recovery,
    replicas,
    rest,
    slow_model,
    watches,
)
from bench.table import Row

DIRECTORY = Path(tempfile.gettempdir())
README = Path(__file__).resolve().parent.parent / "README.md"

MEASUREMENTS: dict[str, Callable[[Lab], Awaitable[list[Row]]]] = {
    "accepts": accepts.measure,
    "busy": slow_model.measure_accepts,
    "completed": completed.measure,
    "idle": completed.measure_idle,
    "slow-model": slow_model.measure,
    "tokens": watches.measure_tokens,
    "delay": watches.measure_delay,
    "reads": reads.measure,
    "watchers": watches.measure_idle,
    "at-rest": at_rest.measure,
    "rest": rest.measure,
    "library": library.measure,
    "long": long_conversation.measure,
    "pg-accepts": replicas.measure_accepts,
    "pg-completed": replicas.measure_completed,
    "pg-idle": replicas.measure_idle,
    "pg-reads": replicas.measure_reads,
    "pg-neighbour": neighbour.measure,
    "pg-piled": piled.measure,
    "pg-recovery": recovery.measure,
    "pg-events": across.measure_events,
    "pg-deltas": across.measure_deltas,
}

_REPLICATED = "pg-"


cli = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@cli.command(epilog=f"Measurements: {', '.join(MEASUREMENTS)}. bench/README.md tells what they are.")
def bench(
    only: Annotated[list[str] | None, typer.Option(help="Only this measurement; may be repeated.")] = None,
    engine: Annotated[Engine | None, typer.Option(help="Only the measurements on this engine.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Just see that it works; the figures mean little.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="How often ours and the ceiling take turns.")] = 5,
    directory: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="Where databases are made: on the disk to measure.")
    ] = DIRECTORY,
    write_readme: Annotated[bool, typer.Option("--write-readme", help="Put the table into the README.")] = False,
) -> None:
    """Measure the server against its ceilings, in one run on this machine, and print a table."""
    unknown = set(only or ()) - set(MEASUREMENTS)
    if unknown:
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: choose from {', '.join(MEASUREMENTS)}")
    chosen = [name for name in MEASUREMENTS if (not only or name in only) and _is_of(name, engine)]
    told = machine.told(directory)
    rows, failed = asyncio.run(_measure(chosen, quick=quick, rounds=1 if quick else rounds, directory=directory))
    table.show(rows, told)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
        raise typer.Exit(1)
    if write_readme:
        table.write(README, rows, told)


def _is_of(name: str, engine: Engine | None) -> bool:
    return engine is None or name.startswith(_REPLICATED) == (engine is Engine.postgres)


async def _measure(names: Sequence[str], *, quick: bool, rounds: int, directory: Path) -> tuple[list[Row], list[str]]:
    """The rows, and the measurements that failed; one that does leaves the others theirs."""
    rows: list[Row] = []
    failed: list[str] = []
    for name in names:
        begun = time.perf_counter()
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        try:
            async with lab(quick=quick, rounds=rounds, directory=directory) as place:
                rows += await MEASUREMENTS[name](place)
        except Exception:
            traceback.print_exc()
            failed.append(name)
        print(f"{time.perf_counter() - begun:.0f} s", file=sys.stderr)
    return rows, failed


if __name__ == "__main__":
    cli()
