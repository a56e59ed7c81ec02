"""Calls as spans."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc

from sendoff_server.api.status import Context
from sendoff_server.tracer import Tracer

T = TypeVar("T")
Served = Callable[[Any, Context], Awaitable[T]]


def traced(tracer: Tracer, method: str, call: Served[T]) -> Served[T]:
    """The same call, served inside of a span; the call itself where no traces are kept."""
    if not tracer.is_on:
        return call

    async def spanned(asked: Any, context: Context) -> T:
        with tracer.call(method, context.invocation_metadata() or ()) as outcome:
            try:
                reply = await call(asked, context)
            except asyncio.CancelledError:
                outcome(grpc.StatusCode.CANCELLED.name)
                raise
            except Exception:
                outcome(_code(context))
                raise
            outcome(grpc.StatusCode.OK.name)
            return reply

    return spanned


def _code(context: Context) -> str:
    """The status that a call was ended with."""
    code = context.code()
    return next((each.name for each in grpc.StatusCode if code in (each, each.value[0])), grpc.StatusCode.UNKNOWN.name)
