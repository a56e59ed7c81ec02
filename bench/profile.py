"""`python -m bench.profile WHAT`: where the server's time goes, per call; `--help` lists the loads.

The server runs in this process, on one core, loaded by a load generator on another. Two tables: the CPU time of each
thread, measured without a profiler, and the functions that the event loop spends its time in, by cProfile, which
makes Python functions look dearer than they are; compare them with each other.
"""

from __future__ import annotations

import asyncio
import cProfile
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from types import CodeType
from typing import Annotated

import psutil
import typer
from pydantic import SecretStr

from bench import machine
from bench.database import Engine, database
from bench.lab import ANSWERING, ECHO, HANGING, SCRIPT, Figures, accepted, agents, rate
from bench.processes import Child, child
from sendoff_server import app, logs
from sendoff_server.settings import ProviderSettings, Settings

CALLERS = 16
CONVERSATIONS = 200
RUNS = 3_000
STORED = 500
SECONDS = 4.0
FUNCTIONS = 45

cli = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
Load = Callable[[], Awaitable[Figures]]


class What(StrEnum):
    accepts = "accepts"
    completed = "completed"
    reads = "reads"
    rest_accepts = "rest-accepts"
    rest_reads = "rest-reads"
    rest_streams = "rest-streams"


@cli.command()
def profile(
    what: Annotated[What, typer.Argument(help="The load.")],
    callers: Annotated[int, typer.Option(min=1, help="So many at once.")] = CALLERS,
    functions: Annotated[int, typer.Option(min=1, help="Length of the table of functions.")] = FUNCTIONS,
    engine: Annotated[Engine, typer.Option(help="What keeps the runs.")] = Engine.sqlite,
) -> None:
    """Load a server and print where its time goes."""
    import uvloop

    logs.configure("console", "info")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_profile(what, callers, functions, engine))


async def _profile(what: What, callers: int, functions: int, engine: Engine) -> None:
    cores = machine.cores()
    with tempfile.TemporaryDirectory() as directory:
        async with (
            _database_url(engine) as database_url,
            child("bench.load", cores=cores.client) as load,
            child("bench.fake_model", cores=cores.client) as provider,
        ):
            os.sched_setaffinity(0, cores.server)
            settings = _settings(Path(directory), what, database_url)
            providers = ProviderSettings(openai_api_key=SecretStr("bench"), openai_base_url=provider.address)
            async with app.running(settings, providers) as server:
                run = await _load(load, server, what, callers)
                await run()
                _show_threads(*await _by_thread(run))
                _show_functions(*await _by_function(run), functions)


@asynccontextmanager
async def _database_url(engine: Engine) -> AsyncIterator[str]:
    """Empty: the server's own file."""
    if engine is Engine.sqlite:
        yield ""
        return
    async with database(Path(tempfile.gettempdir())) as shared:
        yield shared.dsn


def _settings(directory: Path, what: What, database_url: str) -> Settings:
    return Settings(
        grpc_address="127.0.0.1:0",
        http_address="127.0.0.1:0",
        data_dir=directory,
        database_url=database_url,
        scripted_model=True,
        default_model=ECHO,
        max_running=500 if what in (What.completed, What.rest_streams) else 1,
        drain_grace_s=0.0,
    )


async def _load(load: Child, server: app.Server, what: What, callers: int) -> Load:
    """What puts the load on the server, each time it is called."""
    address, http_address = server.grpc.address, server.http.address if server.http is not None else ""
    system = ANSWERING if what == What.completed else HANGING
    agent_ids = await agents(address, CONVERSATIONS, SCRIPT, system)
    order = {"address": address, "callers": callers}
    rest = {"address": http_address, "callers": callers}
    match what:
        case What.accepts:
            return lambda: load.call("accepts", **order, agent_ids=agent_ids, seconds=SECONDS)
        case What.completed:
            return lambda: load.call("completed", **order, agent_ids=agent_ids, runs=RUNS)
        case What.reads:
            run_ids = await accepted(address, agent_ids, STORED)
            return lambda: load.call("reads", **order, run_ids=run_ids, seconds=SECONDS)
        case What.rest_accepts:
            return lambda: load.call("rest_accepts", **rest, agent_ids=agent_ids, seconds=SECONDS)
        case What.rest_reads:
            run_ids = await accepted(address, agent_ids, STORED)
            return lambda: load.call("rest_reads", **rest, run_ids=run_ids, seconds=SECONDS)
        case What.rest_streams:
            talking = await agents(address, callers, "openai/clock")
            return lambda: load.call("rest_delays", address=http_address, agent_ids=talking, text="Now?")


async def _by_thread(run: Load) -> tuple[Figures, dict[int, float]]:
    """The load's figures, and the seconds of CPU that each thread took for it."""
    before = _thread_times()
    figures = await run()
    return figures, {thread: used - before.get(thread, 0.0) for thread, used in _thread_times().items()}


def _thread_times() -> dict[int, float]:
    return {thread.id: thread.user_time + thread.system_time for thread in psutil.Process().threads()}


def _show_threads(figures: Figures, used_s: dict[int, float]) -> None:
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    calls = _count(figures)
    print(f"{calls:,} {_told(figures)}, {sum(used_s.values()) / calls * 1e6:.0f} µs of CPU each:")
    for thread, seconds in sorted(used_s.items(), key=lambda item: -item[1]):
        if seconds / calls > 1e-6:
            print(f"  {seconds / calls * 1e6:6.0f} µs  {names.get(thread, 'a thread of gRPC')}")


async def _by_function(run: Load) -> tuple[Figures, cProfile.Profile]:
    profiler = cProfile.Profile()
    profiler.enable()
    figures = await run()
    profiler.disable()
    return figures, profiler


def _count(figures: Figures) -> int:
    """Calls, or the words of streams."""
    return int(figures.get("calls") or figures["words"])


def _told(figures: Figures) -> str:
    if "words" in figures:
        return f"words, p50 {figures['p50_ms']:.2f} ms, p99 {figures['p99_ms']:.1f} ms"
    return f"calls, {rate(figures):,.0f}/s"


def _show_functions(figures: Figures, profiler: cProfile.Profile, most: int) -> None:
    calls = _count(figures)
    print(f"\nOn the event loop, under the profiler ({_told(figures)}), each:")
    print(f"  {'own µs':>7} {'all µs':>7} {'times':>6}")
    for own_s, total_s, times, where in sorted(_rows(profiler), reverse=True)[:most]:
        print(f"  {own_s / calls * 1e6:7.1f} {total_s / calls * 1e6:7.1f} {times / calls:6.2f}  {where}")


def _rows(profiler: cProfile.Profile) -> list[tuple[float, float, int, str]]:
    """Own seconds, seconds with what was called, number of calls, where."""
    return [(e.inlinetime, e.totaltime, e.callcount, _where(e.code)) for e in profiler.getstats()]


def _where(code: CodeType | str) -> str:
    if isinstance(code, str):
        return code
    return f"{'/'.join(Path(code.co_filename).parts[-2:])}:{code.co_firstlineno} {code.co_qualname}"


if __name__ == "__main__":
    cli()
