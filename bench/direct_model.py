"""The model library alone: what calls of the fake model cost without a server around them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from bench.load.target import TEXT
from bench.orders import obey


async def direct(*, address: str, callers: int, calls: int) -> dict[str, Any]:
    """Make so many calls of `short`, from so many callers at once."""
    from pydantic_ai.direct import model_request_stream
    from pydantic_ai.messages import ModelRequest, UserPromptPart
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel("short", provider=OpenAIProvider(base_url=address, api_key="bench"))
    request = ModelRequest(parts=[UserPromptPart(TEXT)])

    async def call(count: int) -> None:
        for _ in range(count):
            async with model_request_stream(model, [request]) as stream:
                async for _event in stream:
                    pass

    await call(1)
    begun = time.perf_counter()
    await asyncio.gather(*(call(calls // callers) for _ in range(callers)))
    return {"calls": calls // callers * callers, "seconds": time.perf_counter() - begun}


if __name__ == "__main__":
    obey({"direct": direct})
