"""Accepts runs while the server is killed again and again, then checks that every promise about them was kept.

Many callers send to many conversations, each with a request_id, and repeat what was not acknowledged. Meanwhile the
server is ended with SIGKILL at random moments and started again on the same database, and watchers follow some of the
runs through all of it. In the end every acknowledged run has ended once, in order, with a whole log.

    python -m tests.faults.kill_test --runs 1000 --conversations 50 --callers 16 --kills 10
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio

from sendoff import v1
from tests.faults.caller import Caller, calling, is_passing, request, script
from tests.faults.run_log import Screen
from tests.faults.verdict import check_all
from tests.fixtures.server import ServerProcess

_CALL_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of everything."""

    runs: int
    conversations: int
    callers: int
    kills: int
    watchers: int
    seed: int


@dataclass(slots=True)
class Job:
    """One request, and what became of it."""

    key: str
    agent_id: str
    conversation_id: str | None
    """None: the agent's default one."""
    text: str
    answer: str
    begun_s: float = 0.0
    """When it was first sent, by the driver's stopwatch."""
    acknowledged_s: float = 0.0
    run_id: str = ""

    @property
    def lane(self) -> str:
        return self.conversation_id or self.agent_id


@dataclass
class Load:
    """The requests, how far they are, and what the watchers see."""

    plan: Plan
    jobs: list[Job]
    random: random.Random
    waiting: list[Job] = field(default_factory=list)
    acknowledged: int = 0
    repeated_calls: int = 0
    progress: asyncio.Condition = field(default_factory=asyncio.Condition)
    watched: dict[str, Screen] = field(default_factory=dict)
    cut_streams: int = 0

    async def call(self, caller: Caller) -> None:
        """Send what waits, each until it is acknowledged."""
        while self.waiting:
            job = self.waiting.pop()
            job.begun_s = time.monotonic()
            job.run_id = (await self._until_acknowledged(caller, job)).id
            job.acknowledged_s = time.monotonic()
            async with self.progress:
                self.acknowledged += 1
                self.progress.notify_all()

    async def _until_acknowledged(self, caller: Caller, job: Job) -> v1.Run:
        while True:
            try:
                sent = request(job.agent_id, job.text, request_id=job.key, conversation_id=job.conversation_id)
                return await caller.runs.CreateMessageAsync(sent, timeout=_CALL_S)
            except grpc.aio.AioRpcError as error:
                if not is_passing(error):
                    raise
                self.repeated_calls += 1
                await asyncio.sleep(0.02)

    async def acknowledged_at_least(self, count: int) -> None:
        async with self.progress:
            await self.progress.wait_for(lambda: self.acknowledged >= count)

    async def watch(self, caller: Caller, job: Job) -> None:
        """Follow one run from its accept to its end, over as many streams as it takes."""
        async with self.progress:
            await self.progress.wait_for(lambda: job.run_id != "")
        screen = self.watched[job.run_id] = Screen()
        while not screen.finished:
            screen.reconnect()
            stream = caller.watch(job.run_id, after_sequence=screen.last_sequence, include_deltas=True)
            try:
                await screen.follow(stream)
            except grpc.aio.AioRpcError as error:
                if not is_passing(error):
                    raise
                self.cut_streams += screen.frames > 0
                await asyncio.sleep(0.05)


async def kill_at_random(server: ServerProcess, load: Load) -> None:
    """Kill and start the server, at moments spread over the accepts, and some behind them."""
    moments = sorted(load.random.randint(0, int(load.plan.runs * 1.3)) for _ in range(load.plan.kills))
    for moment in moments:
        await load.acknowledged_at_least(min(moment, load.plan.runs))
        await asyncio.sleep(load.random.choice((0.0, load.random.uniform(0.0, 0.3))))
        await server.kill()
        await server.start()


async def make_load(plan: Plan, caller: Caller) -> Load:
    chance = random.Random(plan.seed)
    lanes = await _make_lanes(plan.conversations, caller)
    jobs = [_job(number, *chance.choice(lanes), chance) for number in range(plan.runs)]
    return Load(plan, jobs, chance, waiting=jobs[::-1])


async def _make_lanes(count: int, caller: Caller) -> list[tuple[str, str | None]]:
    """Conversations, each as agent and id: of every agent the default one and one beside it."""
    lanes: list[tuple[str, str | None]] = []
    while len(lanes) < count:
        agent = await caller.agent()
        lanes += [(agent, None), (agent, await caller.conversation(agent))]
    return lanes[:count]


def _job(number: int, agent_id: str, conversation_id: str | None, chance: random.Random) -> Job:
    """Some answers come at once, some take their time, so that kills meet them half-written."""
    answer = f"answer {number} " + "word " * chance.randint(1, 12)
    delay_ms = chance.choice((0, 0, 10, 30))
    text = script(text=answer, delay_ms=delay_ms, first_delay_ms=chance.choice((0, 10)))
    return Job(f"job-{number}", agent_id, conversation_id, text, answer)


async def run(plan: Plan, server: ServerProcess) -> str:
    """The whole test against a server that is not started yet; what happened, in words. Raises AssertionError."""
    begun = time.monotonic()
    await server.start()
    async with AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(calling(server.address)) for _ in range(plan.callers)]
        load = await make_load(plan, callers[0])
        watched = load.random.sample(load.jobs, min(plan.watchers, plan.runs))
        async with asyncio.TaskGroup() as group:
            for caller in callers:
                group.create_task(load.call(caller))
            for number, job in enumerate(watched):
                group.create_task(load.watch(callers[number % len(callers)], job))
            group.create_task(kill_at_random(server, load))
        facts = await check_all(callers[0], load.jobs, load.watched)
    return _told(plan, load, facts, time.monotonic() - begun)


def _told(plan: Plan, load: Load, facts: Counter[str], took_s: float) -> str:
    lines = {
        "runs acknowledged": load.acknowledged,
        "conversations": plan.conversations,
        "kills": plan.kills,
        "calls repeated because no answer came": load.repeated_calls,
        "streams cut": load.cut_streams,
        **facts,
    }
    width = max(map(len, lines))
    told = "\n".join(f"{name:<{width}}  {count}" for name, count in lines.items())
    return f"{told}\nEvery promise was kept. {took_s:.1f} s, seed {plan.seed}."


def _plan() -> Plan:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.kill_test", description="Kill the server while it works, and see what is lost."
    )
    parser.add_argument("--runs", type=int, default=1000, help="requests to send (default: %(default)s)")
    parser.add_argument("--conversations", type=int, default=50, help="conversations to send to (default: %(default)s)")
    parser.add_argument("--callers", type=int, default=16, help="concurrent callers (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=10, help="how often to kill (default: %(default)s)")
    parser.add_argument("--watchers", type=int, default=40, help="runs to watch meanwhile (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of all that is random (default: another each time)")
    asked = parser.parse_args()
    seed = random.randrange(1 << 32) if asked.seed is None else asked.seed
    return Plan(**{**vars(asked), "seed": seed})


async def _main(plan: Plan) -> None:
    print(f"seed {plan.seed}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        server = ServerProcess(Path(directory))
        try:
            print(await run(plan, server))
        finally:
            await server.close()


if __name__ == "__main__":
    asyncio.run(_main(_plan()))
