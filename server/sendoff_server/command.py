"""What commands of `sendoff-server` share: flags made from the settings, and faults told in one line."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import typer

from sendoff_server import logs, process, settings_flags
from sendoff_server.access.principal import acting_fields

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
