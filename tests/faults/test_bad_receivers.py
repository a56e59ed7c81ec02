"""Five bad receivers among twenty: the others do not notice, and when the bad ones are back, nothing is lost.

With SENDOFF_TEST_CALLBACKS=1000 it is a thousand runs.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from sendoff_server.app import Server
from sendoff_server.callbacks import dispatcher, schedule
from sendoff_server.callbacks.dispatcher import PER_RECEIVER
from sendoff_server.settings import Settings
from tests.faults.caller import PATIENCE_S, Caller, calling
from tests.fixtures.receiver import Receiver, receiving

RUNS = int(os.environ.get("SENDOFF_TEST_CALLBACKS", "100"))
RECEIVERS = 20
BAD = ("hang", "reset", 500, 307, "refuse")


async def send(caller: Caller, agents: list[str], url: str, number: int) -> str:
    return (await caller.send(agents[number % len(agents)], f"message {number}", callback_url=url)).id


def told(receivers: list[Receiver]) -> Counter[str]:
    """How often each run was told."""
    return Counter(got.json["run_id"] for receiver in receivers for got in receiver.got)


async def test_bad_receivers_hold_up_nobody_and_lose_nothing(
    server: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "FIRST_PAUSE_S", 0.2)
    monkeypatch.setattr(schedule, "LONGEST_PAUSE_S", 1.0)
    monkeypatch.setattr(dispatcher, "POLL_S", 0.1)
    async with AsyncExitStack() as stack:
        caller = await stack.enter_async_context(calling(server.grpc.address))
        good = [await stack.enter_async_context(receiving()) for _ in range(RECEIVERS - len(BAD))]
        bad = [await stack.enter_async_context(receiving()) for _ in BAD[:-1]]
        for receiver, act in zip(bad, BAD, strict=False):
            receiver.choose = lambda _, act=act: act
        async with receiving() as dead:
            port = dead.port
        urls = [receiver.url() for receiver in (*good, *bad)] + [f"http://127.0.0.1:{port}/hook"]
        agents = [await caller.agent("scripted/echo") for _ in range(10)]

        begun = time.monotonic()
        sends = (send(caller, agents, urls[number % RECEIVERS], number) for number in range(RUNS))
        runs = await asyncio.gather(*sends)
        well = [run for number, run in enumerate(runs) if number % RECEIVERS < len(good)]
        await asyncio.gather(*(caller.called_back(run, done=True) for run in well))
        took_s = time.monotonic() - begun
        assert told(good) == Counter(well)

        bad.append(await stack.enter_async_context(receiving(port=port)))
        for receiver in bad:
            receiver.choose = None
            receiver.release.set()
        async with asyncio.timeout(4 * PATIENCE_S):
            ended = await asyncio.gather(*(caller.called_back(run, done=True) for run in runs))

    print(f"{len(well)} runs told in {took_s:.1f} s while {len(BAD)} of {RECEIVERS} receivers were bad;")
    print(f"all {RUNS} within {time.monotonic() - begun:.1f} s, {sum(told(bad).values())} requests to the bad ones")
    assert {run.callback.last_status_code for run in ended} == {200}
    secret = settings.callback_secret_path.read_text().strip()
    for receiver in (*good, *bad):
        assert receiver.twice_at_once == set()
        assert receiver.at_once <= PER_RECEIVER
        for got in receiver.got:
            got.verified(secret)
    assert told([*good, *bad]).keys() == set(runs)
