"""The page for those who write receivers: its examples are what receivers get, and its program verifies it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from sendoff import AsyncClient, v1
from sendoff_server.callbacks import schedule
from tests.faults.caller import script
from tests.fixtures.receiver import Delivered, Receiver
from tests.fixtures.server import Serve

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "server/sendoff_server/callbacks/README.md").read_text()
TYPES = ["run.started", "run.action_required", "run.finished"]
PATIENCE_S = 20.0
_ID = re.compile(r"\b(([a-z]+)-)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_CONNECTION = {"host", "accept", "accept-encoding", "content-length", "connection"}
"""Headers that any HTTP client sends."""


def blocks(language: str) -> list[str]:
    """The fenced blocks of that language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def plain(body: Any) -> str:
    """The body as text, without what differs from run to run."""
    text = _MOMENT.sub("moment", _ID.sub(r"\2-id", json.dumps(body)))
    return re.sub(r'("\w+_ns": |"sequence": )\d+', r"\g<1>0", text)


async def all_kinds(serve: Serve, receiver: Receiver) -> Sequence[Delivered]:
    """A delivery of each kind."""
    async with serve(http_address="off") as server, AsyncClient(server.grpc.address) as client:
        ids = await client.create_endpoint(url=receiver.url("/ids"), event_types=TYPES)
        await client.create_endpoint(url=receiver.url("/whole"), event_types=["run.finished"], include_run=True)
        answers = await client.create_agent(model="scripted/script", system=script(text="Done: a table for two."))
        calls = script(tool_calls=[{"name": "find_table", "arguments": {"seats": 2}}])
        asks = await client.create_agent(model="scripted/script", system=calls)
        text, tools = "Book a table for two.", [v1.ClientTool(name="find_table")]
        await client.send(answers.id, text)
        await client.send(asks.id, text, client_tools=tools)
        await client.test_endpoint(ids.endpoint.id)
        await receiver.requests(6)
        await client.send(answers.id, text, callback_url=receiver.url("/bare"))
        return await receiver.requests(10)


async def test_every_example_is_what_a_receiver_gets(serve: Serve, receiver: Receiver) -> None:
    got = await all_kinds(serve, receiver)

    told = {plain(each.json) for each in got}
    shown = [json.loads(block) for block in blocks("json")]
    assert [each.get("type") for each in shown] == [*TYPES, "endpoint.test", None]
    assert [plain(each) for each in shown if plain(each) not in told] == []


async def test_every_header_is_named(serve: Serve, receiver: Receiver) -> None:
    async with serve(http_address="off") as server, AsyncClient(server.grpc.address) as client:
        made = await client.create_endpoint(url=receiver.url())
        await client.test_endpoint(made.endpoint.id)

    named = set(re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.MULTILINE))
    assert receiver.got[0].headers.keys() - _CONNECTION == named


def test_the_pauses_are_those_of_the_schedule() -> None:
    (told,) = re.findall(r"first after (.*?), and then every 6 h, until 72 hours", PAGE)
    units_s = {"s": 1, "min": 60, "h": 3_600}
    spans = [re.findall(r"(\d+) (s|min|h)\b", each) for each in told.split(",")]
    pauses_s = [sum(int(number) * units_s[unit] for number, unit in span) for span in spans]

    middle = [schedule.pause_s(attempts, 0.5) for attempts in range(1, len(pauses_s) + 2)]
    assert middle == [*pauses_s, 6 * 3_600]
    assert "up to a fifth" in PAGE
    assert schedule.JITTER == 0.2


async def test_the_program_in_python_takes_each_delivery_once_and_nothing_forged(
    serve: Serve, unused_tcp_port: int
) -> None:
    (program,) = blocks("python")
    url = f"http://127.0.0.1:{unused_tcp_port}/"
    async with serve(http_address="off") as server, AsyncClient(server.grpc.address) as client:
        made = await client.create_endpoint(url=url, event_types=["run.started"])
        async with running(program.replace("9000", str(unused_tcp_port)), made.secret) as lines:
            assert await forged(url) == 401
            run = await client.send((await client.create_agent()).id, "Hello")
            first = await anext(lines)
            (delivery,) = [each async for each in client.deliveries(run_id=run.id)]
            await delivered(client, delivery.id, attempts=1)
            assert await client.redeliver([delivery.id]) == 1
            await delivered(client, delivery.id, attempts=2)
            assert (await client.test_endpoint(made.endpoint.id)).status_code == 204
            second = await anext(lines)

    assert first.startswith("run.started {'run_id': '" + run.id)
    assert second.startswith("endpoint.test"), "and the same one twice is told once"


@asynccontextmanager
async def running(program: str, secret: str) -> AsyncIterator[AsyncIterator[str]]:
    """What a program prints, line by line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        env={**os.environ, "SENDOFF_CALLBACK_SECRET": secret},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    printed = process.stdout

    async def lines() -> AsyncIterator[str]:
        while line := await printed.readline():
            yield line.decode()

    try:
        async with asyncio.timeout(PATIENCE_S):
            yield lines()
    finally:
        process.kill()
        await process.wait()


async def forged(url: str) -> int:
    """The answer to a POST that nobody signed, once the program listens, which it does not tell."""
    async with httpx.AsyncClient() as http:
        while True:
            try:
                return (await http.post(url, content=b"{}")).status_code
            except httpx.ConnectError:
                await asyncio.sleep(0.02)


async def delivered(client: AsyncClient, delivery_id: str, *, attempts: int) -> None:
    while True:
        delivery = await client.get_delivery(delivery_id)
        if (delivery.attempt_count, delivery.status) == (attempts, v1.DELIVERY_STATUS_DELIVERED):
            return
        await asyncio.sleep(0.01)
