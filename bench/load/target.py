"""A server to call, with bytes in and bytes out, so that the client costs as little as it can."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc

from sendoff import v1

CONNECTIONS = 4
"""Callers share so many connections, at most."""
TEXT = "Could you look up when the ferry leaves tomorrow, and whether there is still room for a bicycle? " * 3
LONGEST_CALL_S = 120.0

_SERVICE = "/sendoff.v1.RunService/"
_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),  # else all channels share one connection
    ("grpc.max_receive_message_length", -1),
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),  # for an address of several servers
]
_numbers = itertools.count()
_own = uuid.uuid4().hex[:12]


class Target:
    """RunService over one connection."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.accept: Any = channel.unary_unary(f"{_SERVICE}CreateMessageAsync")
        self.get: Any = channel.unary_unary(f"{_SERVICE}GetRun")
        self.wait: Any = channel.unary_unary(f"{_SERVICE}WaitRun")
        self.watch: Any = channel.unary_stream(f"{_SERVICE}WatchRun")


@asynccontextmanager
async def targets(address: str, callers: int, connections: int = CONNECTIONS) -> AsyncIterator[list[Target]]:
    """One target for each caller. All connections are open when the block begins."""
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(address, options=_OPTIONS))
            for _ in range(min(callers, connections))
        ]
        for channel in channels:
            await channel.channel_ready()
        yield [Target(channel) for channel, _ in zip(itertools.cycle(channels), range(callers), strict=False)]


def bodies(agent_ids: Sequence[str], text: str = TEXT) -> Iterator[bytes]:
    """Endless requests, agent after agent, each with a request_id of its own, as our client sends them."""
    prepared = [accept_body(agent_id, text) for agent_id in agent_ids]
    for body in itertools.cycle(prepared):
        # Messages that are strung together are merged by whoever parses them.
        request_id = f"{_own}-{next(_numbers):012d}"
        yield body + v1.CreateMessageAsyncRequest(request_id=request_id).SerializeToString()


def accept_body(agent_id: str, text: str = TEXT) -> bytes:
    return v1.CreateMessageAsyncRequest(agent_id=agent_id, input=v1.Content(text=text)).SerializeToString()
