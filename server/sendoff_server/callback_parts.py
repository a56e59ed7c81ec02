"""The parts that call back, put together for `assembly`."""

from __future__ import annotations

import asyncio
import random

from sendoff_server.callbacks.breaker import Breaker
from sendoff_server.callbacks.courier import Courier
from sendoff_server.callbacks.dispatcher import Dispatcher
from sendoff_server.callbacks.secrets import EndpointSecrets
from sendoff_server.callbacks.signing import Signer, ensure_secrets
from sendoff_server.clock import Clock
from sendoff_server.outgoing.guard import Guard
from sendoff_server.outgoing.port import Sender
from sendoff_server.settings import Settings
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.port import Store
from sendoff_server.tracer import Tracer
from sendoff_server.tracing.parts import traced_sender


def courier(settings: Settings, guard: Guard, secrets: EndpointSecrets, clock: Clock, tracer: Tracer) -> Courier:
    """Raises BadSecret."""

    async def open_sender() -> Sender:
        await asyncio.to_thread(_import_slow_parts)
        from sendoff_server.outgoing.sender import HttpSender

        return traced_sender(HttpSender(guard, timeout_s=settings.callback_timeout_s), tracer)

    signer = Signer(ensure_secrets(settings.callback_secret_path))
    return Courier(
        open_sender,
        signer,
        clock,
        secrets=secrets,
        give_up_s=settings.callback_give_up_s,
        chance=random.random,
        tracer=tracer,
    )


def dispatcher(
    settings: Settings, store: Store, commits: GroupCommit, courier: Courier, guard: Guard, clock: Clock
) -> Dispatcher:
    return Dispatcher(
        store,
        commits,
        courier,
        Breaker(settings.max_callbacks, random.random),
        guard,
        clock,
        at_once=settings.max_callbacks,
        most_open=settings.max_waiting_callbacks,
    )


def _import_slow_parts() -> None:
    """Used above; importing it here, in a thread, keeps the loop free."""
    import sendoff_server.outgoing.sender  # noqa: F401  # see above
