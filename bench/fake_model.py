"""A model provider that takes no time: OpenAI's chat completions, streamed, in a process of its own.

The name of the model says what it does: `short` answers ten words at once, `clock` writes fifty words, one every
20 ms, each the monotonic nanoseconds at which it was sent. `narrow` answers as `short` does and has a small window.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

from aiohttp import web

from bench.processes import tell_ready

SHORT_WORDS = 10
CLOCK_WORDS = 50
NARROW_TOKENS = 4_096
BYTES_PER_TOKEN = 4
CLOCK_PAUSE_S = 0.020


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "fake", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


def _usage(prompt_tokens: int = 11) -> bytes:
    total = prompt_tokens + SHORT_WORDS
    used = {"prompt_tokens": prompt_tokens, "completion_tokens": SHORT_WORDS, "total_tokens": total}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "fake", "choices": []}
    return f"data: {json.dumps({**chunk, 'usage': used})}\n\n".encode()


_FIRST = _event({"role": "assistant", "content": ""})
_DONE = b"data: [DONE]\n\n"
_LAST = _event({}, "stop") + _usage() + _DONE
_WORDS = _FIRST + b"".join(_event({"content": f"word{number} "}) for number in range(SHORT_WORDS))
_SHORT = _WORDS + _LAST


async def _clock() -> AsyncIterator[bytes]:
    yield _FIRST
    for _ in range(CLOCK_WORDS):
        await asyncio.sleep(CLOCK_PAUSE_S)
        yield _event({"content": f"{time.monotonic_ns()} "})
    yield _LAST


def _narrow(asked: bytes) -> bytes:
    return _WORDS + _event({}, "stop") + _usage(len(asked) // BYTES_PER_TOKEN) + _DONE


def _too_long() -> web.Response:
    error = {"message": "the context is too long", "type": "invalid_request_error", "code": "context_length_exceeded"}
    return web.json_response({"error": error}, status=400)


async def _answer(request: web.Request) -> web.StreamResponse:
    body = await request.read()
    asked = json.loads(body)
    if asked["model"] == "narrow" and len(body) // BYTES_PER_TOKEN > NARROW_TOKENS:
        return _too_long()
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    if asked["model"] == "clock":
        async for event in _clock():
            await response.write(event)
    elif asked["model"] == "narrow":
        await response.write(_narrow(body))
    else:
        await response.write(_SHORT)
    await response.write_eof()
    return response


async def _models(request: web.Request) -> web.StreamResponse:
    narrow = {"id": "narrow", "context_length": NARROW_TOKENS}
    return web.json_response({"object": "list", "data": [{"id": "short"}, {"id": "clock"}, narrow]})


async def serve() -> None:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", _answer)
    app.router.add_get("/v1/models", _models)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    tell_ready(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
    await asyncio.Event().wait()


def main() -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


if __name__ == "__main__":
    main()
