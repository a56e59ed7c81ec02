"""The parts that connect to addresses that callers chose, put together for `assembly`. One guard is for all of them."""

from __future__ import annotations

import asyncio

import structlog

from sendoff_server.clock import Clock
from sendoff_server.context.remote_pictures import RemotePictures
from sendoff_server.networks import LOOPBACK, networks_of, ports_of
from sendoff_server.outgoing.guard import Guard
from sendoff_server.outgoing.port import Fetcher
from sendoff_server.settings import Settings

log = structlog.get_logger(__name__)


def guard_of(settings: Settings) -> Guard:
    """Where callers may have the server connect to. What is not public is told in the log."""
    by_default = settings.callback_networks == "" and settings.is_local
    networks = LOOPBACK if by_default else networks_of(settings.callback_networks)
    if networks:
        why = "only this machine reaches this server" if by_default else "the operator allows it"
        log.info("callers may name addresses that are not public", networks=[str(each) for each in networks], why=why)
    return Guard(networks, ports_of(settings.callback_ports))


def remote_pictures(guard: Guard, clock: Clock) -> RemotePictures:
    """Pictures that callers name by their URL."""

    async def open_fetcher() -> Fetcher:
        await asyncio.to_thread(_import_slow_parts)
        from sendoff_server.outgoing.fetcher import HttpFetcher

        return HttpFetcher(guard)

    return RemotePictures(open_fetcher, clock)


def _import_slow_parts() -> None:
    """Used above; importing it here, in a thread, keeps the loop free."""
    import sendoff_server.outgoing.fetcher  # noqa: F401  # see above
