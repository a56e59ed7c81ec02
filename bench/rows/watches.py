"""Text on its way from the model to watchers, and watchers that wait."""

from __future__ import annotations

import asyncio
import json

from bench.bare import TOKEN_PAUSE_S
from bench.fake_model import CLOCK_WORDS
from bench.lab import HANGING, SCRIPT, Compared, Figures, Lab, accepted, agents, median, p50, p99
from bench.machine import cores
from bench.processes import Child, child
from bench.table import Row

WATCHED = 100
LEAST_SHARE = 0.95
MOST_TIMES = 1.1
WATCHED_FOR_DELAY = 20
MOST_DELAY_MS = 10.0
MOST_KB = 45.0
MOST_IDLE_CORE = 0.02


async def measure_tokens(lab: Lab) -> list[Row]:
    """Watched runs whose models write a word every 10 ms, beside the bare server doing it by itself."""
    words = lab.choose(300, 30)
    text = json.dumps({"script": {"words": words, "delay_ms": TOKEN_PAUSE_S * 1000}})
    watched = lab.choose(WATCHED, 5)
    async with lab.server() as ours:
        asked = {"agent_ids": await agents(ours.address, watched, SCRIPT), "words": words}
        compared = await lab.take_turns(
            lambda: lab.call(ours, "tokens", text=text, **asked),
            lambda: lab.call(lab.bare, "tokens", text="", **asked),
        )
    return [_delivered(compared, watched), _total(compared)]


def _delivered(compared: Compared, watched: int) -> Row:
    ratio = compared.ratio(_words)
    frames = median(compared.ours, lambda figures: figures["frames"] / figures["words"])
    return Row(
        what=f"Tokens streamed to {watched} watchers, one every 10 ms each",
        ours=f"{median(compared.ours, _words):,.0f} in {frames:.2f} frames each",
        ceiling=f"{median(compared.bare, _words):,.0f}",
        ratio=ratio,
        goal=f"≥ {LEAST_SHARE}",
        met=ratio >= LEAST_SHARE,
    )


def _words(figures: Figures) -> float:
    return float(figures["words"])


def _total(compared: Compared) -> Row:
    ratio = compared.ratio(_seconds)
    cpu = median(compared.ours, lambda figures: figures["server_cpu_s"] / figures["words"] * 1e6)
    return Row(
        what="Total time of these streams, accept included",
        ours=f"{median(compared.ours, _seconds):.2f} s, {cpu:.0f} µs CPU a token",
        ceiling=f"{median(compared.bare, _seconds):.2f} s",
        ratio=ratio,
        goal=f"≤ {MOST_TIMES}",
        met=ratio <= MOST_TIMES,
    )


def _seconds(figures: Figures) -> float:
    return float(figures["seconds"])


async def measure_delay(lab: Lab) -> list[Row]:
    """From a model provider's write of a word to a watcher's receipt of it; every word is the time of its writing."""
    async with child("bench.fake_model", cores=cores().client) as fake:
        env = {"OPENAI_API_KEY": "bench", "OPENAI_BASE_URL": fake.address}
        async with lab.server(env=env) as ours:
            watched = lab.choose(WATCHED_FOR_DELAY, 2)
            asked = {"agent_ids": await agents(ours.address, watched, "openai/clock"), "words": CLOCK_WORDS}
            compared = await lab.take_turns(
                lambda: lab.call(ours, "delays", text="What time is it?", **asked),
                lambda: lab.call(lab.bare, "delays", text="", **asked),
            )
    return [_delay(compared, watched)]


def _delay(compared: Compared, watched: int) -> Row:
    delay_ms = median(compared.ours, p50)
    return Row(
        what=f"Delay of a token, model provider to watcher, p50, {watched} streams of 50 tokens/s",
        ours=f"{delay_ms:.2f} ms (p99 {median(compared.ours, p99):.1f} ms)",
        ceiling=f"{median(compared.bare, p50):.2f} ms (p99 {median(compared.bare, p99):.1f} ms), server to watcher",
        ratio=compared.ratio(p50),
        goal=f"< {MOST_DELAY_MS:.0f} ms",
        met=delay_ms < MOST_DELAY_MS,
    )


async def measure_idle(lab: Lab) -> list[Row]:
    """Watchers of runs that wait for their turn; the default heartbeat, every 15 s, is part of it."""
    count = lab.choose(2_000, 50)
    async with lab.server("--max-running", "1") as ours:
        run_ids = await accepted(ours.address, await agents(ours.address, lab.choose(200, 5), SCRIPT, HANGING), count)
        ours_kb, ours_cpu = await _idle(lab, ours, run_ids)
    bare_kb, bare_cpu = await _idle(lab, lab.bare, run_ids)
    what = f"{count:,} idle watchers"
    return [
        Row(
            what=f"{what}: memory of each",
            ours=f"{ours_kb:.1f} KB",
            ceiling=f"{bare_kb:.1f} KB",
            ratio=ours_kb / bare_kb,
            goal=f"< {MOST_KB:.0f} KB",
            met=ours_kb < MOST_KB,
        ),
        Row(
            what=f"{what}: CPU",
            ours=f"{ours_cpu:.2%} of a core",
            ceiling=f"{bare_cpu:.2%} of a core, without heartbeats",
            ratio=ours_cpu / max(bare_cpu, 1e-4),
            goal=f"< {MOST_IDLE_CORE:.0%} of a core",
            met=ours_cpu < MOST_IDLE_CORE,
        ),
    ]


async def _idle(lab: Lab, server: Child, run_ids: list[str]) -> tuple[float, float]:
    """KB of memory for each watcher, and the share of a core that all take."""
    await lab.call(server, "watchers_open", run_ids=run_ids[:20])
    await lab.load.call("watchers_close")
    before = server.rss_bytes()
    await lab.call(server, "watchers_open", run_ids=run_ids)
    kilobytes = (server.rss_bytes() - before) / len(run_ids) / 1000
    used_s, seconds = server.cpu_s(), lab.choose(30, 1)
    await asyncio.sleep(seconds)
    share = (server.cpu_s() - used_s) / seconds
    await lab.load.call("watchers_close")
    return kilobytes, share
