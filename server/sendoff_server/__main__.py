"""The command `sendoff-server`. Heavy parts are imported by the commands that need them, so that each starts soon."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from sendoff_server import backup_commands, keys_commands, logs, process, settings_flags
from sendoff_server.access.principal import acting_fields
from sendoff_server.command import LOGS
from sendoff_server.command import fail as _fail
from sendoff_server.command import run_telling as _run_telling
from sendoff_server.command import with_settings as _with_settings
from sendoff_server.settings import ProviderSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sendoff_server.models.catalogue import ModelCatalogue
    from sendoff_server.tools.mcp.config import ServerConfig

ALL = tuple(filter(settings_flags.has_flag, Settings.model_fields))

cli = typer.Typer(
    help="The Sendoff server: durable runs of LLM agents over gRPC and REST.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
models = typer.Typer(help="The models that a server with these settings offers.", no_args_is_help=True)
cli.add_typer(models, name="models")
mcp = typer.Typer(help="The MCP servers whose tools agents may call.", no_args_is_help=True)
cli.add_typer(mcp, name="mcp")
callbacks = typer.Typer(help="The callbacks that tell when runs have ended.", no_args_is_help=True)
cli.add_typer(callbacks, name="callbacks")
cli.add_typer(keys_commands.keys, name="keys")
cli.command()(backup_commands.backup)
cli.command()(backup_commands.restore)
secrets = typer.Typer(help="The keys that encrypt the secrets in the database.", no_args_is_help=True)
cli.add_typer(secrets, name="secrets")


def _providers() -> ProviderSettings:
    try:
        return settings_flags.read_providers()
    except settings_flags.BadSettings as error:
        _fail(f"these settings cannot be used:\n{error}", code=2)


def _make_data_dir(settings: Settings) -> None:
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        _fail(f"the data directory {settings.data_dir} cannot be made: {error.strerror}; set SENDOFF_DATA_DIR", code=2)


def _catalogue(settings: Settings) -> ModelCatalogue:
    from sendoff_server.clock import SystemClock
    from sendoff_server.models.catalogue import catalogue

    try:
        return catalogue(settings, _providers(), SystemClock())
    except ValueError as error:
        _fail(str(error), code=2)


def _mcp_servers(settings: Settings) -> Mapping[str, ServerConfig]:
    from sendoff_server.tools.mcp.config import BadMcpServers, read

    try:
        return read(settings.mcp_servers_path)
    except BadMcpServers as error:
        _fail(f"the file of MCP servers cannot be used:\n{error}", code=2)


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
    _run_telling(main, *told)


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


@cli.command(epilog=settings_flags.provider_help())
@_with_settings(*ALL)
def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM, then drain. A second signal ends the process at once.

    Each setting is a flag or an environment variable; the flag wins.
    """
    providers = _providers()
    mcp_servers = _mcp_servers(settings)
    _announce(settings, _catalogue(settings), mcp_servers)
    _make_data_dir(settings)
    if settings.processes > 1:
        _serve_with_many(settings)
    else:
        _serve_alone(settings, providers)


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

    _run_telling(main)


@cli.command(hidden=True)
def replica() -> None:
    """One process of `serve --processes`, which starts it."""
    from sendoff_server import app
    from sendoff_server.lifeline import Lifeline

    try:
        lifeline = Lifeline()
    except ValueError:
        _fail("this command is for `sendoff-server serve --processes`, which says what it is to do", code=2)
    settings = Settings(**lifeline.settings)
    settings = settings.model_copy(update={"metrics_address": settings.metrics_address_of(lifeline.process)})
    logs.configure(settings.log_format, settings.log_level, process=lifeline.process, fields=acting_fields)

    def ready(server: app.Server) -> None:
        process.settle_memory()
        logs.name_replica(server.replica_id)
        lifeline.tell_ready()

    async def main(stop: asyncio.Event) -> None:
        lifeline.hold(stop)
        await app.serve(settings, _providers(), ready=ready, stop=stop)

    _run(main)


@cli.command(epilog=settings_flags.provider_help())
@_with_settings(*ALL)
def demo(
    settings: Settings,
    *,
    once: Annotated[bool, typer.Option("--once", help="Stop after the demonstration.")] = False,
) -> None:
    """Serve, and show one message on its way: an agent, its answer as it is written, the finished run."""
    from sendoff_server import demo as demonstration

    if settings.processes > 1:
        _fail("the demonstration has one process; leave SENDOFF_PROCESSES out", code=2)
    if settings.tls_certificate_file:
        _fail("the demonstration speaks without TLS; leave SENDOFF_TLS_CERTIFICATE_FILE out", code=2)
    providers = _providers()
    _make_data_dir(settings)
    if (settings.default_model or demonstration.EMBEDDED) == demonstration.EMBEDDED:
        _pull(settings)
    if "log_level" not in settings.model_fields_set:
        logs.configure(settings.log_format, "warning")
    _run(functools.partial(demonstration.show, settings, providers, once))


@cli.command(epilog=settings_flags.provider_help())
@_with_settings(*ALL)
def doctor(
    settings: Settings,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print a list for programs.")] = False,
) -> None:
    """Look at all that `serve` with these settings needs, and say what to mend. Changes nothing.

    Looks at the settings, the data directory, open files, the addresses, who is let in, TLS, the database and its
    clock, the models' providers and the MCP servers. The exit code is 1 if something keeps a server from working as it
    should.
    """
    from sendoff_server.doctor import command
    from sendoff_server.tools.mcp.report import faults

    if "log_level" not in settings.model_fields_set:
        logs.configure(settings.log_format, "critical")  # what is wrong is told by the findings
    offered, ask_tools = _catalogue(settings), functools.partial(faults, _mcp_servers(settings))

    async def main() -> bool:
        try:
            return await command.run(settings, offered, ask_tools, as_json=json)
        finally:
            await offered.aclose()

    if not asyncio.run(main()):
        raise typer.Exit(1)


@cli.command()
@_with_settings("database_url", *LOGS)
def migrate(
    settings: Settings,
    *,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; the exit code tells.")] = False,
) -> None:
    """Bring a database on PostgreSQL to this version's schema, for servers whose role may not create tables.

    Servers that may do it themselves when they start. With --check the exit code is 1 unless nothing is missing.
    """
    from sendoff_server import store_parts

    url = settings.postgres_url
    if url is None:
        told = "set SENDOFF_DATABASE_URL to a database on PostgreSQL; one on SQLite is migrated by its server"
        _fail(told, code=2)

    async def main(stop: asyncio.Event) -> None:
        number = await store_parts.migrate(url, only_check=check)
        print(f"{settings.database_told} has schema {number}, which this version can use.")

    _run_telling(main)


@models.command("ls")
@_with_settings("data_dir", "default_model", "scripted_model", *LOGS)
def list_models(settings: Settings) -> None:
    """List the models, as their providers tell them now."""
    offered = _catalogue(settings)

    async def main() -> None:
        listed = await offered.list()
        await offered.aclose()
        for model in listed.models:
            default = "  (default)" if model.handle == listed.default_handle else ""
            print(f"{model.handle}{default}")
        for provider in listed.unreachable:
            print(f"{provider}/* did not answer", file=sys.stderr)

    asyncio.run(main())


@models.command("pull")
@_with_settings("data_dir", *LOGS)
def pull_weights(settings: Settings) -> None:
    """Fetch the weights of the embedded model, unless they are there already."""
    _make_data_dir(settings)
    _pull(settings)


def _pull(settings: Settings) -> None:
    from sendoff_server.models.port import ModelFailed
    from sendoff_server.models.weights import ensure_weights

    try:
        asyncio.run(ensure_weights(settings.data_dir, _print_progress))
    except ModelFailed as error:
        _fail(error.message)


def _print_progress(told: str) -> None:
    print(f"{told[:1].upper()}{told[1:]}", file=sys.stderr, flush=True)


@mcp.command("ls")
@_with_settings("mcp_servers_file", *LOGS)
def list_mcp_servers(settings: Settings) -> None:
    """Connect to the MCP servers, and list their tools. The exit code is 1 if one of them does not answer."""
    from sendoff_server.tools.mcp.report import report

    if "log_level" not in settings.model_fields_set:
        logs.configure(settings.log_format, "error")  # what is wrong is told by the report
    if not asyncio.run(report(_mcp_servers(settings))):
        raise typer.Exit(1)


@callbacks.command("secret")
@_with_settings("data_dir", "callback_secret_file", *LOGS)
def show_secret(settings: Settings) -> None:
    """Print the secrets that sign callbacks, for their receivers, one a line. The first is made if there is none."""
    from sendoff_server.callbacks.signing import BadSecret, ensure_secrets

    try:
        print("\n".join(ensure_secrets(settings.callback_secret_path)))
    except BadSecret as error:
        _fail(str(error), code=2)


@secrets.command("new-key")
def new_encryption_key() -> None:
    """Print a new key for SENDOFF_ENCRYPTION_KEYS."""
    from sendoff_server.encryption_keys import new_key

    print(new_key())


@secrets.command("rotate")
@_with_settings("data_dir", "database_url", *LOGS)
def rotate_encryption(settings: Settings) -> None:
    """Encrypt all secrets in the database with the first key of SENDOFF_ENCRYPTION_KEYS, beside servers that have the
    same keys already. After that the other keys can be taken away. The exit code is 1 if a secret cannot be read."""
    from sendoff_server import store_parts
    from sendoff_server.encryption.rotation import Rotation
    from sendoff_server.encryption.sealer import Sealer

    if not settings.encryption:
        _fail("there is no key to encrypt with; set SENDOFF_ENCRYPTION_KEYS", code=2)
    rotation = Rotation(Sealer(settings.encryption))

    async def main(stop: asyncio.Event) -> None:
        await store_parts.reseal(settings, rotation.renewed)

    _run_telling(main)
    print(f"{rotation.sealed} secrets are encrypted anew, {rotation.current} had the first key already.")
    if rotation.unreadable:
        _fail(f"{len(rotation.unreadable)} cannot be read:\n" + "\n".join(rotation.unreadable))


@cli.command()
def settings() -> None:
    """Print all settings as the Markdown table that the README shows."""
    print(settings_flags.table())


@cli.command()
def metrics() -> None:
    """Print all metrics as the Markdown table that their page shows."""
    from sendoff_server.sight.catalogue import table

    print(table())


@cli.command()
def version() -> None:
    """Print the version."""
    print(version_of("sendoff"))


def main() -> None:
    """The console script."""
    # Children of ours execute another program at once, so gRPC need not look after forks, nor remark on them.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    # What it has to say of its own comes from callers who send nonsense, as often as they do.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    cli()


if __name__ == "__main__":
    main()
