"""`sendoff-server serve`, what it starts, and `demo`."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from sendoff_server import logs, process, settings_flags
from sendoff_server.access.principal import acting_fields
from sendoff_server.commands.shared import (
    ALL,
    catalogue_of,
    fail,
    make_data_dir,
    mcp_servers_of,
    providers,
    pull,
    run_telling,
    with_settings,
)
from sendoff_server.settings import ProviderSettings, Settings

if TYPE_CHECKING:
    from sendoff_server.models.catalogue import ModelCatalogue
    from sendoff_server.tools.mcp.config import ServerConfig


def _run(main: process.Main) -> None:
    """Run to the end. What can go wrong through no fault of ours is told in one line."""
    from sendoff_server.access.addresses import AddressNeedsKeys
    from sendoff_server.admission.book import BadQuotas
    from sendoff_server.api.server import AddressUnavailable
    from sendoff_server.callbacks.signing import BadSecret
    from sendoff_server.gateway.metrics_door import MetricsAddressUnavailable
    from sendoff_server.gateway.server import HttpAddressUnavailable
    from sendoff_server.tls.material import BadCertificate
    from sendoff_server.tools.python.tools import PythonToolsUnavailable
    from sendoff_server.tracing.exporting import BadTracing

    told = (
        AddressNeedsKeys,
        AddressUnavailable,
        HttpAddressUnavailable,
        MetricsAddressUnavailable,
        BadCertificate,
        BadQuotas,
        BadSecret,
        BadTracing,
        PythonToolsUnavailable,
    )
    run_telling(main, *told)


def _announce(settings: Settings, offered: ModelCatalogue, mcp_servers: Mapping[str, ServerConfig]) -> None:
    log = structlog.get_logger("sendoff_server")
    for name, meant in settings_flags.misspelt().items():
        log.warning("variable is not a setting", variable=name, meant=meant)
    log.info(
        "starting",
        version=version_of("sendoff"),
        address=settings.grpc_address,
        http_address=settings.http_address,
        data_dir=str(settings.data_dir),
        database=settings.database_told,
        models=[f"{name}/*" for name in offered.provider_names],
        default_model=offered.default_handle or None,
        mcp_servers=list(mcp_servers),
    )


@with_settings(*ALL)
def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM, then drain. A second signal ends the process at once.

    Each setting is a flag or an environment variable; the flag wins.
    """
    offered_by = providers()
    mcp_servers = mcp_servers_of(settings)
    _announce(settings, catalogue_of(settings), mcp_servers)
    make_data_dir(settings)
    if settings.processes > 1:
        _serve_with_many(settings)
    else:
        _serve_alone(settings, offered_by)


def _serve_alone(settings: Settings, providers: ProviderSettings) -> None:
    from sendoff_server import app

    def ready(server: app.Server) -> None:
        process.settle_memory()
        logs.name_replica(server.replica_id)
        http_address = server.http.address if server.http is not None else "off"
        structlog.get_logger("sendoff_server").info(
            "ready",
            address=server.grpc.address,
            http_address=http_address,
            metrics_address=server.metrics.address if server.metrics is not None else "off",
            replica=server.replica_id,
        )

    async def main(stop: asyncio.Event) -> None:
        await app.serve(settings, providers, ready=ready, stop=stop)

    _run(main)


def _serve_with_many(settings: Settings) -> None:
    from sendoff_server import processes

    def ready(shared: Settings) -> None:
        structlog.get_logger("sendoff_server").info(
            "ready", address=shared.grpc_address, http_address=shared.http_address, processes=shared.processes
        )

    async def main(stop: asyncio.Event) -> None:
        await processes.serve(settings, stop=stop, ready=ready)

    run_telling(main)


def replica() -> None:
    """One process of `serve --processes`, which starts it."""
    from sendoff_server import app
    from sendoff_server.lifeline import Lifeline

    try:
        lifeline = Lifeline()
    except ValueError:
        fail("this command is for `sendoff-server serve --processes`, which says what it is to do", code=2)
    settings = Settings(**lifeline.settings)
    settings = settings.model_copy(update={"metrics_address": settings.metrics_address_of(lifeline.process)})
    logs.configure(settings.log_format, settings.log_level, process=lifeline.process, fields=acting_fields)

    def ready(server: app.Server) -> None:
        process.settle_memory()
        logs.name_replica(server.replica_id)
        lifeline.tell_ready()

    async def main(stop: asyncio.Event) -> None:
        lifeline.hold(stop)
        await app.serve(settings, providers(), ready=ready, stop=stop)

    _run(main)


@with_settings(*ALL)
def demo(
    settings: Settings,
    *,
    once: Annotated[bool, typer.Option("--once", help="Stop after the demonstration.")] = False,
) -> None:
    """Serve, and show one message on its way: an agent, its answer as it is written, the finished run."""
    from sendoff_server import demo as demonstration

    if settings.processes > 1:
        fail("the demonstration has one process; leave SENDOFF_PROCESSES out", code=2)
    if settings.tls_certificate_file:
        fail("the demonstration speaks without TLS; leave SENDOFF_TLS_CERTIFICATE_FILE out", code=2)
    offered_by = providers()
    make_data_dir(settings)
    if (settings.default_model or demonstration.EMBEDDED) == demonstration.EMBEDDED:
        pull(settings)
    if "log_level" not in settings.model_fields_set:
        logs.configure(settings.log_format, "warning")
    _run(functools.partial(demonstration.show, settings, offered_by, once))
