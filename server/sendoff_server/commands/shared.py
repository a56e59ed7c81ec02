"""What commands of `sendoff-server` share: flags made from the settings, and faults told in one line."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from sendoff_server import logs, process, settings_flags
from sendoff_server.access.principal import acting_fields
from sendoff_server.settings import ProviderSettings, Settings

if TYPE_CHECKING:
    from sendoff_server.models.catalogue import ModelCatalogue
    from sendoff_server.tools.mcp.config import ServerConfig

ALL = tuple(filter(settings_flags.has_flag, Settings.model_fields))
LOGS = ("log_format", "log_level")


def fail(message: str, code: int = 1) -> NoReturn:
    print(f"sendoff-server: {message}", file=sys.stderr)
    raise typer.Exit(code)


def with_settings(*fields: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the flags of these fields, and all settings, read and checked, as its first argument."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def with_flags(**arguments: Any) -> None:
            given = {name: arguments.pop(name) for name in fields}
            try:
                settings = settings_flags.read(given)
            except settings_flags.BadSettings as error:
                fail(f"these settings cannot be used:\n{error}", code=2)
            logs.configure(settings.log_format, settings.log_level, fields=acting_fields)
            command(settings, **arguments)

        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        signature = inspect.Signature([*own, *settings_flags.parameters(fields)])
        with_flags.__signature__ = signature  # type: ignore[attr-defined]  # what typer reads
        return with_flags

    return decorate


def run_telling(main: process.Main, *told: type[Exception]) -> None:
    """Run to the end. These exceptions, and those of the store, are told in one line."""
    from sendoff_server.store.port import EngineMissing, Fenced, NewerSchema, OlderSchema, StoreFailed, StoreInUse

    of_store = (EngineMissing, Fenced, NewerSchema, OlderSchema, StoreFailed, StoreInUse)
    all_told: tuple[type[Exception], ...] = (*told, *of_store, OSError, process.Failed)
    faults: list[BaseException] = []
    try:
        process.run(main)
    except* all_told as group:
        faults = _leaves(group)
    if faults:
        fail("; ".join(map(str, faults)))


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def providers() -> ProviderSettings:
    try:
        return settings_flags.read_providers()
    except settings_flags.BadSettings as error:
        fail(f"these settings cannot be used:\n{error}", code=2)


def make_data_dir(settings: Settings) -> None:
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        fail(f"the data directory {settings.data_dir} cannot be made: {error.strerror}; set SENDOFF_DATA_DIR", code=2)


def catalogue_of(settings: Settings) -> ModelCatalogue:
    from sendoff_server.clock import SystemClock
    from sendoff_server.models.catalogue import catalogue

    try:
        return catalogue(settings, providers(), SystemClock())
    except ValueError as error:
        fail(str(error), code=2)


def mcp_servers_of(settings: Settings) -> Mapping[str, ServerConfig]:
    from sendoff_server.tools.mcp.config import BadMcpServers, read

    try:
        return read(settings.mcp_servers_path)
    except BadMcpServers as error:
        fail(f"the file of MCP servers cannot be used:\n{error}", code=2)


def pull(settings: Settings) -> None:
    from sendoff_server.models.port import ModelFailed
    from sendoff_server.models.weights import ensure_weights

    try:
        asyncio.run(ensure_weights(settings.data_dir, _print_progress))
    except ModelFailed as error:
        fail(error.message)


def _print_progress(told: str) -> None:
    print(f"{told[:1].upper()}{told[1:]}", file=sys.stderr, flush=True)
