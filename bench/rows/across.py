"""How old what a run does is when a watcher at another replica hears of it."""

from __future__ import annotations

import json

from bench.fake_model import CLOCK_WORDS
from bench.lab import SCRIPT, Figures, Lab, agents
from bench.machine import cores
from bench.processes import child
from bench.table import Row

WATCHED = 20
TALKING = json.dumps({"script": {"words": 10, "chunk_words": 5, "first_delay_ms": 150}})


async def measure_events(lab: Lab) -> list[Row]:
    """Entries of the log, by the time that they bear, which is from before they are written."""
    async with lab.replicas(2) as ours:
        here, there = (server.address for server in ours.servers)
        agent_ids = await agents(here, lab.choose(WATCHED, 2), SCRIPT, TALKING)
        asked = {"agent_ids": agent_ids, "runs": lab.choose(20, 3), "address": here}
        await lab.call(ours, "event_delays", **{**asked, "runs": 1}, watch_address=there)
        away = await lab.call(ours, "event_delays", **asked, watch_address=there)
        home = await lab.call(ours, "event_delays", **asked, watch_address=here)
    return [_row("an event", away, home, f"{len(agent_ids)} conversations")]


async def measure_deltas(lab: Lab) -> list[Row]:
    """Text, by the time at which the model's provider wrote it."""
    async with child("bench.fake_model", cores=cores().client) as fake:
        env = {"OPENAI_API_KEY": "bench", "OPENAI_BASE_URL": fake.address}
        async with lab.replicas(2, env=env) as ours:
            here, there = (server.address for server in ours.servers)
            agent_ids = await agents(here, lab.choose(WATCHED, 2), "openai/clock")
            asked = {"agent_ids": agent_ids, "words": CLOCK_WORDS, "text": "What time is it?", "address": here}
            await lab.call(ours, "delays", **asked, watch_address=there)
            away = await lab.call(ours, "delays", **asked, watch_address=there)
            home = await lab.call(ours, "delays", **asked, watch_address=here)
    if not away["words"]:
        raise RuntimeError("no text came to the other replica's watchers before it was final")
    came = f"{away['words']:,} of {home['words']:,} of them"
    return [_row("a token", away, home, f"{len(agent_ids)} streams of 50 tokens/s, {came}")]


def _row(what: str, away: Figures, home: Figures, load: str) -> Row:
    return Row(
        what=f"PostgreSQL: delay of {what}, to a watcher at another replica, p50, {load}",
        ours=_told(away),
        ceiling=f"{_told(home)}, at the one that executes the run",
        ratio=away["p50_ms"] / home["p50_ms"],
    )


def _told(figures: Figures) -> str:
    return f"{figures['p50_ms']:.1f} ms (p99 {figures['p99_ms']:.0f} ms)"
