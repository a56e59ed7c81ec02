"""Starts and stops a server.

Every long-lived part is an async context manager on one exit stack, so that stopping is starting reversed. A part
whose loop breaks takes the process down, loudly.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import structlog

from sendoff_server.access.addresses import check_addresses
from sendoff_server.access.doorway import Doorway
from sendoff_server.access.gate import Gate, KeyGate
from sendoff_server.access.ring import KeyRing
from sendoff_server.admission.book_file import BookFile
from sendoff_server.admission.memory_guard import MemoryGuard
from sendoff_server.admission.quotas import QuotaAdmission
from sendoff_server.admission_parts import admission_of, book_of, memory_guard
from sendoff_server.api.server import GrpcServer
from sendoff_server.assembly import Assembly, Parts, shed_of
from sendoff_server.clock import Clock, SystemClock
from sendoff_server.gateway.connection import Limits
from sendoff_server.gateway.metrics_door import MetricsDoor
from sendoff_server.gateway.nouns.callbacks import callback_body
from sendoff_server.gateway.server import HttpServer
from sendoff_server.models.catalogue import catalogue
from sendoff_server.runs.beating import Beating
from sendoff_server.runs.presence import Presence
from sendoff_server.settings import ProviderSettings, Settings
from sendoff_server.sight_parts import Sight
from sendoff_server.store.port import LEASE_S as LEASE_S
from sendoff_server.store_parts import store_of
from sendoff_server.tls.certificates import Certificates
from sendoff_server.tls.material import BadCertificate as BadCertificate
from sendoff_server.tls.material import Files
from sendoff_server.tracer import Tracer
from sendoff_server.tracing.exporting import tracer_of
from sendoff_server.use_cases import UseCases

BEAT_S = 2.0
SURE_S = 7.0
"""So long after a beat a replica that shares its store begins calls of models and tools: a while less than a lease."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, as its command and tests see it."""

    parts: Parts
    grpc: GrpcServer
    http: HttpServer | None
    """None: there is no REST door."""
    replica_id: str
    """As the store knows this process."""
    metrics: MetricsDoor | None
    """None: there are no metrics."""
    admission: QuotaAdmission
    """Tells what was refused."""
    memory: MemoryGuard
    """Tells what is used."""

    @property
    def use_cases(self) -> UseCases:
        return self.parts.use_cases


async def serve(
    settings: Settings,
    providers: ProviderSettings,
    *,
    stop: asyncio.Event,
    ready: Callable[[Server], None] | None = None,
) -> None:
    """Serve until `stop` is set, then drain. `ready` is told where, once callers are served."""
    async with running(settings, providers) as server:
        _warn_of_plain_secrets(settings)
        if ready is not None:
            ready(server)
        await stop.wait()
        await _give_notice(server.grpc, settings.drain_notice_s)
        log.info("stopping", runs_under_way=server.parts.scheduler.under_way, grace_s=settings.drain_grace_s)


@asynccontextmanager
async def running(
    settings: Settings,
    providers: ProviderSettings,
    clock: Clock | None = None,
    gate: Gate | None = None,
    *,
    tracer: Tracer | None = None,
) -> AsyncIterator[Server]:
    """A server inside the block; on leaving it, it drains. Without a `gate` callers need keys, if there are any;
    without a `tracer` the environment tells of traces.

    Raises AddressNeedsKeys.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        if tracer is None:
            tracer = await stack.enter_async_context(tracer_of(os.environ, tells_content=settings.trace_content))
        book, memory = book_of(settings, clock), memory_guard(settings, clock)
        store = await stack.enter_async_context(store_of(settings, clock, book))
        keys = KeyRing(store, clock)
        await stack.enter_async_context(keys.running())
        check_addresses(settings, has_keys=keys.has_keys)
        admission = admission_of(settings, book, store, memory, clock)
        models = catalogue(settings, providers, clock)
        stack.push_async_callback(models.aclose)
        presence = Presence(clock, math.inf if store.is_alone else SURE_S)
        sight = Sight(settings, store, clock)
        meters = sight.meters
        shed = await shed_of(settings, store, clock)
        parts = Assembly(
            settings, store, models, shed, presence, admission, clock, meters, tracer, sight.on_result
        ).parts()
        stack.push_async_callback(parts.pictures.aclose)
        certificates = certificates_of(settings, clock)
        doorway = Doorway(
            gate=gate or KeyGate(keys, clock),
            max_request_bytes=settings.max_request_bytes,
            allowed_request_bytes=admission.most_request_bytes,
            certificates=certificates,
            tracer=tracer,
        )
        grpc = GrpcServer(settings, parts.use_cases, replace(doorway, meter=meters.grpc))
        http = _http(settings, parts.use_cases, replace(doorway, meter=meters.rest), lambda: grpc.is_serving)
        metrics = await stack.enter_async_context(sight.told(parts, grpc, http, memory))
        beating = Beating(
            store,
            parts.commits,
            presence,
            grpc.set_serving,
            parts.scheduler.lanes_were_freed,
            clock,
            beat_s=BEAT_S,
            lease_s=LEASE_S,
            work=meters.work,
            meter=meters.store,
        )
        for part in _in_order(parts, book, memory, certificates, grpc, http, beating):
            await stack.enter_async_context(part)
        try:
            yield Server(parts, grpc, http, store.replica_id, metrics, admission, memory)
        finally:
            await _drain(parts, grpc, settings.drain_grace_s)


def _in_order(
    parts: Parts,
    book: BookFile,
    memory: MemoryGuard,
    certificates: Certificates | None,
    grpc: GrpcServer,
    http: HttpServer | None,
    beating: Beating,
) -> Sequence[AbstractAsyncContextManager[object]]:
    """What lives as long as the server, in the order in which it is started."""
    return (
        parts.commits.running(),
        parts.callbacks.running(partial(callback_body, parts.use_cases)),
        parts.shed.mcp_servers.running(),
        parts.scheduler.running(parts.executor),
        parts.lookout.running(),
        parts.herald.running(),
        parts.expiry.running(),
        parts.purging.running(),
        book.running(),
        memory.running(parts.use_cases.shed_watchers),
        *([certificates.running()] if certificates is not None else ()),
        grpc,
        *([http] if http is not None else ()),
        beating.running(),
    )


def certificates_of(settings: Settings, clock: Clock) -> Certificates | None:
    """What both doors show; None: there is no TLS. Raises BadCertificate."""
    if not settings.tls_certificate_file:
        return None
    authorities = settings.tls_client_ca_file
    certificate, key = Path(settings.tls_certificate_file), Path(settings.tls_key_file)
    return Certificates(Files(certificate, key, Path(authorities) if authorities else None), clock)


def _http(settings: Settings, use_cases: UseCases, doorway: Doorway, is_ready: Callable[[], bool]) -> HttpServer | None:
    if settings.http_address == "off":
        return None
    return HttpServer(
        settings.http_address,
        use_cases,
        doorway,
        limits=Limits(connections=settings.max_http_connections),
        shares_port=settings.processes > 1,
        is_ready=is_ready,
    )


def _warn_of_plain_secrets(settings: Settings) -> None:
    if not settings.encryption:
        tell = log.info if settings.is_local else log.warning
        tell("secrets are kept in the database as they are: there is no key; see SENDOFF_ENCRYPTION_KEYS")


async def _give_notice(grpc: GrpcServer, notice_s: float) -> None:
    """Tell load balancers, and serve on until they have understood: nobody whom they still send is turned away."""
    if notice_s:
        await grpc.announce_drain()
        log.info("stopping soon", notice_s=notice_s)
        await asyncio.sleep(notice_s)


async def _drain(parts: Parts, grpc: GrpcServer, grace_s: float) -> None:
    """Tell load balancers, refuse what is new, let watchers end, give runs under way and who waits for them time."""
    await grpc.announce_drain()
    parts.use_cases.drain(grace_s)
    try:
        await parts.scheduler.drain(grace_s)
    finally:
        parts.use_cases.stop()
