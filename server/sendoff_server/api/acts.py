"""Entries of the audit for calls over gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any
from urllib.parse import unquote

from google.protobuf.message import Message

from sendoff_server.api.status import Context
from sendoff_server.audit.act import ids_of
from sendoff_server.audit.trail import Trail

Unary = Callable[[Any, Context], Awaitable[Message]]
Streaming = Callable[[Any, Context], AsyncGenerator[Message]]


def unary_noted(trail: Trail, name: str, behaviour: Unary) -> Unary:
    async def call(request: Message, context: Context) -> Message:
        async with trail.noting(name, address(context), ids_of(request)) as act:
            reply = await behaviour(request, context)
            if not act.in_transaction:
                act.names(ids_of(reply))
            return reply

    return call


def stream_noted(trail: Trail, name: str, behaviour: Streaming) -> Streaming:
    async def call(asked: Any, context: Context) -> AsyncGenerator[Message]:
        async with (
            trail.noting(name, address(context), ()),
            aclosing(behaviour(asked, context)) as frames,
        ):
            async for frame in frames:
                yield frame

    return call


def address(context: Context) -> str:
    """Where the caller is, as "ipv4:10.0.0.7:52114"."""
    return unquote(context.peer())
