"""Receivers in the test's hand."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from sendoff_server.outgoing.port import Answer, Sender

PATIENCE_S = 20.0
OK = "http://good.example/"


@dataclass(frozen=True)
class Request:
    url: str
    headers: Mapping[str, str]
    body: str


@dataclass
class Receivers(Sender):
    """Answers by URL: a status, an answer, or a fault; 200 by default. Requests to `hanging` wait for `release`."""

    answers: dict[str, list[Answer | Exception]] = field(default_factory=dict)
    hanging: set[str] = field(default_factory=set)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    got: list[Request] = field(default_factory=list)
    under_way: Counter[str] = field(default_factory=Counter)
    closed: bool = False
    more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def send(self, url: str, headers: Mapping[str, str], body: str) -> Answer:
        async with self.more:
            self.got.append(Request(url, headers, body))
            self.under_way[url] += 1
            self.more.notify_all()
        try:
            if url in self.hanging:
                await self.release.wait()
            answer = self.answers[url].pop(0) if self.answers.get(url) else Answer(200)
            if isinstance(answer, Exception):
                raise answer
            return answer
        finally:
            self.under_way[url] -= 1

    async def close(self) -> None:
        self.closed = True

    async def requests(self, count: int) -> list[Request]:
        """All of them, once there are so many."""
        async with asyncio.timeout(PATIENCE_S), self.more:
            await self.more.wait_for(lambda: len(self.got) >= count)
        return self.got
