"""The model that answers in the story, so that nothing in it is left to chance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.fixtures.fake_providers import FakeProviders, Reply, fake_providers

HANDLE = "openai/small"
ANSWER = ("They ", "tell ", "the ", "hour, ", "and ", "where ", "they ", "are.")
NOTED = ("Noted.",)

_CALL = ("call_1", "memory_insert", ("{}",))


class StoryModel:
    """Answers the first message, calls the tool that it must call, and never comes to the end of anything else, so that
    it can be cancelled."""

    def __init__(self, fake: FakeProviders) -> None:
        self._fake = fake
        self._stalls = 0
        self._holds = False
        fake.choose = self._choose

    @property
    def url(self) -> str:
        return f"{self._fake.url}/v1"

    def stall_first_answer(self, times: int = 1) -> None:
        """Let the first answer get stuck in its middle, so often."""
        self._stalls = times

    def hold_first_answer(self) -> None:
        """Let the first answer wait in its middle for `go_on`."""
        self._holds = True

    async def held(self) -> None:
        """Wait until an answer waits."""
        async with asyncio.timeout(60):
            await self._fake.held.get()

    def go_on(self) -> None:
        self._fake.going_on.release()

    async def stalled(self) -> None:
        """Wait until an answer has got stuck."""
        async with asyncio.timeout(60):
            await self._fake.stalled.get()

    def _choose(self, body: dict[str, Any]) -> Reply:
        if body.get("tool_choice") == "required":
            return Reply(text=(), tool_calls=(_CALL,), finish="tool_calls")
        if body.get("tools"):
            return Reply(text=NOTED)
        said = [message for message in body["messages"] if message["role"] == "user"]
        if len(said) > 1 or "bells" not in str(said[0]["content"]):
            return Reply(text=ANSWER, break_after=1, then="stall")
        if self._stalls:
            self._stalls -= 1
            return Reply(text=ANSWER, break_after=2, then="stall")
        return Reply(text=ANSWER, hold_after=2 if self._holds else None)


@asynccontextmanager
async def story_model() -> AsyncIterator[StoryModel]:
    async with fake_providers() as fake:
        yield StoryModel(fake)
