"""A door behind which several servers take turns, as behind a load balancer that thinks of nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import cycle
from typing import Any

from tests.contract.promises.doors import Accepted, Door, Json, Place


class ByTurns(Door):
    def __init__(self, doors: Sequence[Door]) -> None:
        self._doors = cycle(doors)

    @property
    def _next(self) -> Door:
        return next(self._doors)

    async def agent(self, model: str = "scripted/script") -> str:
        return await self._next.agent(model)

    async def sent(self, agent: str, body: Json, *, key: str = "") -> Accepted:
        return await self._next.sent(agent, body, key=key)

    async def run(self, run_id: str) -> Mapping[str, Any]:
        return await self._next.run(run_id)

    async def cancel(self, agent: str, run_id: str) -> None:
        await self._next.cancel(agent, run_id)

    async def entries(self, run_id: str) -> list[Json]:
        return await self._next.entries(run_id)

    async def history(self, agent: str) -> list[Json]:
        return await self._next.history(agent)

    async def pending(self, agent: str) -> list[str]:
        return await self._next.pending(agent)

    def follow(self, run_id: str, after: int = 0) -> AsyncIterator[Place]:
        return self._next.follow(run_id, after)

    async def log(self, run_id: str) -> list[Json]:
        return await self._next.log(run_id)

    async def deleted(self, agent: str) -> None:
        await self._next.deleted(agent)
