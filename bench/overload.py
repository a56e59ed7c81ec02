"""`python -m bench.overload`: five times what a server can do, for a minute, while two quiet tenants go on.

It shows, or fails by, that all accepted work ends; that the rest is refused with a reason and a hint when to come back;
that memory stays within the limit that is set; and that quiet tenants are never refused.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer

from bench import machine
from bench.lab import SCRIPT
from bench.processes import Child, child
from sendoff import v1
from sendoff.v1.agent_service_pb2_grpc import AgentServiceStub

LOUD, QUIET = "loud", ("quiet-1", "quiet-2")
TIMES = 5
MEMORY_MB = 256
WORK = json.dumps({"script": {"words": 10, "chunk_words": 5, "delay_ms": 150}})
"""What every run does: it has its slot for a sixth of a second, most of which it waits. So there are too few slots."""
QUOTAS = f"[tenants.{LOUD}]\nopen_runs = 200\n"
SETTINGS = {
    "SENDOFF_MAX_MEMORY_MB": str(MEMORY_MB),
    "SENDOFF_MAX_RUNNING": "16",
    "SENDOFF_MAX_WAITING_ACCEPTS": "200",
}
CLEAR = {"QUOTA_EXCEEDED/open_runs", "OVERLOADED", "QUEUE_FULL"}
"""Refusals that say what to do, and when."""
DIRECTORY = Path(tempfile.gettempdir())
_AGENTS = 200
_QUIET_PER_S = 5.0
_CALLERS = 32
_SAMPLE_S = 0.1
_SETTLE_S = 60.0
_COMPLETED = "RUN_STATUS_COMPLETED"

Figures = dict[str, Any]
_cli = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Tenant:
    """Who calls."""

    key: str
    agent_ids: Sequence[str]


@dataclass
class Scene:
    """A server, who calls it, and two processes that call: the quiet tenants' does not share a loop with the loud
    one's."""

    server: Child
    loud_load: Child
    quiet_load: Child
    tenants: Mapping[str, Tenant]
    accepted: Counter[str] = field(default_factory=Counter)
    """How many runs, by tenant."""
    highest_mb: float = 0.0

    async def order(self, load: Child, do: str, name: str, **arguments: Any) -> Figures:
        told = self.tenants[name]
        figures = await load.call(do, address=self.server.address, key=told.key, agent_ids=told.agent_ids, **arguments)
        self.accepted[name] += figures["told"].get("accepted", 0)
        return figures

    async def loud(self, do: str, **arguments: Any) -> Figures:
        return await self.order(self.loud_load, do, LOUD, **arguments)

    async def quiet(self, seconds: float) -> list[Figures]:
        """The quiet tenants at their pace, one after the other."""
        share_s = seconds / len(QUIET)
        return [
            await self.order(self.quiet_load, "paced", name, per_s=_QUIET_PER_S, seconds=share_s, follow=True)
            for name in QUIET
        ]

    async def settled(self, name: str) -> dict[str, int]:
        """How many runs a tenant has, by status, once none is open any more."""
        key = self.tenants[name].key
        told = await self.loud_load.call("settled", address=self.server.address, key=key, longest_s=_SETTLE_S)
        statuses: dict[str, int] = told["statuses"]
        return statuses

    def rss_mb(self) -> float:
        return self.server.rss_bytes() / 1024 / 1024

    async def watch_memory(self) -> None:
        """Until it is cancelled."""
        while True:
            self.highest_mb = max(self.highest_mb, self.rss_mb())
            await asyncio.sleep(_SAMPLE_S)


@dataclass(frozen=True)
class Outcome:
    """What was seen."""

    capacity_per_s: float
    unloaded: Sequence[Figures]
    loud: Figures
    quiet: Sequence[Figures]
    accepted: Mapping[str, int]
    """By tenant."""
    statuses: Mapping[str, Mapping[str, int]]
    """By tenant, of all runs."""
    rest_mb: float
    highest_mb: float


def faults(seen: Outcome) -> list[str]:
    """What is not as it should be."""
    told = seen.loud["told"]
    found = [f"refused without a clear reason: {reason}" for reason in told if reason not in {*CLEAR, "accepted"}]
    if set(told) == {"accepted"}:
        found.append("nothing was refused: it was no overload")
    quiet = [figures["told"] for figures in (*seen.unloaded, *seen.quiet)]
    found += [f"a quiet tenant was refused: {each}" for each in quiet if set(each) != {"accepted"}]
    for name, statuses in seen.statuses.items():
        if statuses != {_COMPLETED: seen.accepted[name]}:
            found.append(f"{name} had {seen.accepted[name]} runs accepted, and they are {statuses}")
    if seen.highest_mb > MEMORY_MB:
        found.append(f"{seen.highest_mb:.0f} MiB were used, and {MEMORY_MB} is the limit")
    return found


def report(seen: Outcome) -> str:
    """For people, as Markdown."""
    loud, told = seen.loud, seen.loud["told"]
    refusals = ", ".join(f"{count:,} {reason}" for reason, count in sorted(told.items()) if reason != "accepted")
    offered = loud["sent"] / loud["seconds"]
    lines = [
        "| What | Seen |",
        "| --- | --- |",
        f"| Capacity, runs accepted and ended | {seen.capacity_per_s:,.0f}/s |",
        f"| Offered | {offered:,.0f}/s, {offered / seen.capacity_per_s:.1f} times that, for {loud['seconds']:.0f} s |",
        f"| Accepted | {told.get('accepted', 0):,}, all ended; {told.get('accepted', 0) / loud['seconds']:,.0f}/s |",
        f"| Refused | {refusals} |",
        f"| Answers to the loud tenant, p50, p95 | accepted {_ms(loud, 'accepted')}; refused {_ms(loud, 'refused')} |",
        f"| Memory, at rest and at most | {seen.rest_mb:.0f} and {seen.highest_mb:.0f} MiB, limit {MEMORY_MB} |",
    ]
    for name, before, during in zip(QUIET, seen.unloaded, seen.quiet, strict=True):
        lines += [
            f"| {name}: accepted, p50, p95 | {_ms(during, 'accepted')}; alone {_ms(before, 'accepted')} |",
            f"| {name}: ended, p50, p95 | {_ms(during, 'ended')}; alone {_ms(before, 'ended')} |",
        ]
    return "\n".join(lines)


def _ms(figures: Figures, what: str) -> str:
    return f"{figures[f'{what}_p50_ms']:.0f}, {figures[f'{what}_p95_ms']:.0f} ms"


@asynccontextmanager
async def scene(directory: Path) -> AsyncIterator[Scene]:
    """All processes inside the block."""
    cores = machine.cores()
    async with AsyncExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=directory)))
        quotas = _written(data / "quotas.toml", QUOTAS)
        keys = {name: await _new_key(data, name) for name in (LOUD, *QUIET)}
        flags: tuple[str, ...] = (
            "serve",
            "--log-format",
            "json",
            "--grpc-address",
            "127.0.0.1:0",
            "--http-address",
            "off",
        )
        flags += ("--data-dir", str(data), "--scripted-model", "--quotas-file", str(quotas))
        server = await stack.enter_async_context(child("sendoff_server", *flags, cores=cores.server, env=SETTINGS))
        loud, quiet = [await stack.enter_async_context(child("bench.load", cores=cores.client)) for _ in range(2)]
        tenants = {name: Tenant(key, await _new_agents(server.address, key)) for name, key in keys.items()}
        yield Scene(server, loud, quiet, tenants)


async def measure(scene: Scene, seconds: float) -> Outcome:
    """Warm up, find out what the server can do, hear the quiet ones alone, then all of them together."""
    await scene.loud("finished", callers=_CALLERS, seconds=seconds / 20)
    able = await scene.loud("finished", callers=_CALLERS, seconds=seconds / 6)
    capacity_per_s = able["sent"] / able["seconds"]
    unloaded = await scene.quiet(seconds / 3)
    rest_mb = scene.rss_mb()
    watching = asyncio.create_task(scene.watch_memory())
    try:
        loud, quiet = await asyncio.gather(
            scene.loud("paced", per_s=TIMES * capacity_per_s, seconds=seconds, follow=False), scene.quiet(seconds)
        )
        statuses = {name: await scene.settled(name) for name in scene.tenants}
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
    return Outcome(capacity_per_s, unloaded, loud, quiet, scene.accepted, statuses, rest_mb, scene.highest_mb)


def _written(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


async def _new_key(data_dir: Path, tenant: str) -> str:
    command = ("-m", "sendoff_server", "keys", "create", "--tenant", tenant, "--json", "--data-dir", str(data_dir))
    made = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    told, _ = await made.communicate()
    return str(json.loads(told)["key"])


async def _new_agents(address: str, key: str) -> list[str]:
    agent = v1.CreateAgentRequest(agent=v1.Agent(name="bench", model=SCRIPT, system=WORK))
    metadata = (("authorization", f"Bearer {key}"),)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = AgentServiceStub(channel)
        return [(await stub.CreateAgent(agent, metadata=metadata)).id for _ in range(_AGENTS)]


@_cli.command()
def overload(
    seconds: Annotated[float, typer.Option(min=1, help="How long there is too much; all takes twice that.")] = 60.0,
    directory: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="Where the database is made.")
    ] = DIRECTORY,
) -> None:
    """Offer a server five times what it can do, and see what becomes of it."""

    async def run() -> Outcome:
        async with scene(directory) as made:
            return await measure(made, seconds)

    seen = asyncio.run(run())
    print(report(seen))
    if found := faults(seen):
        print("\n".join(["", "Not as it should be:", *found]), file=sys.stderr)
        raise typer.Exit(1)


if __name__ == "__main__":
    _cli()
