"""The settings as flags, as a table and as errors: each made from the fields of `settings`, so that none can lag."""

from __future__ import annotations

import difflib
import inspect
import os
import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from sendoff_server.settings import ProviderSettings, Settings
from sendoff_server.settings.files import SUFFIX, BadFile, is_secret, variable_of

_METAVARS = {"integer": "INTEGER", "number": "NUMBER", "string": "TEXT"}


class BadSettings(Exception):
    """Settings that cannot be used: one line per fault, each naming the flag or variable that it came from."""


def variable(field: str, settings: type[BaseSettings] = Settings) -> str:
    """Name of the environment variable of a field."""
    return variable_of(field, settings)


def flag(field: str) -> str:
    """Name of the flag of a field of `Settings`."""
    return "--" + field.replace("_", "-")


def read(given: Mapping[str, str | bool | None]) -> Settings:
    """The settings: the flags that were given, else the environment, else the defaults. Raises BadSettings."""
    flags = {name: value for name, value in given.items() if value is not None}
    try:
        return Settings(**flags)  # type: ignore[arg-type]  # pydantic reads the text of a flag as it does a variable's
    except ValidationError as error:
        raise BadSettings(_told(error, Settings, flags)) from None
    except BadFile as error:
        raise BadSettings(str(error)) from None


def read_providers() -> ProviderSettings:
    """The model providers' own variables. Raises BadSettings."""
    try:
        return ProviderSettings()
    except ValidationError as error:
        raise BadSettings(_told(error, ProviderSettings, {})) from None
    except BadFile as error:
        raise BadSettings(str(error)) from None


def misspelt() -> dict[str, str]:
    """Variables of the environment that look like a setting and are none, each with the setting that may be meant."""
    fields = Settings.model_fields
    known = [variable(name) for name in fields]
    known += [variable(name) + SUFFIX for name, field in fields.items() if is_secret(field)]
    unknown = [name for name in os.environ if name.startswith("SENDOFF_") and name.upper() not in known]
    meant = {name: difflib.get_close_matches(name, known, 1, cutoff=0.9) for name in sorted(unknown)}
    return {name: close[0] for name, close in meant.items() if close}


def parameters(fields: Collection[str]) -> list[inspect.Parameter]:
    """One optional flag per field of `Settings` that is named, for the signature of a typer command."""
    return [_parameter(name, shape) for name, shape in _shapes(Settings).items() if name in fields and has_flag(name)]


def has_flag(field: str) -> bool:
    """Whether a setting can be given as a flag; what is nothing but secret cannot, because all who may list processes
    see flags."""
    extra = Settings.model_fields[field].json_schema_extra
    return not (isinstance(extra, dict) and extra.get("secret"))


def table() -> str:
    """All settings as a Markdown table, for the README."""
    lines = ["| Variable | Flag | Default | Meaning |", "| --- | --- | --- | --- |"]
    for name, shape in _shapes(Settings).items():
        default = f"`{_default(shape)}`" if _default(shape) else ""
        lines.append(f"| `{variable(name)}` | {_told_flag(name)} | {default} | {_meaning(shape)} |")
    for name, shape in _shapes(ProviderSettings).items():
        lines.append(f"| `{variable(name, ProviderSettings)}` | | | {shape['description']} |")
    return "\n".join(lines)


def _told_flag(field: str) -> str:
    return f"`{flag(field)}`" if has_flag(field) else ""


def provider_help() -> str:
    """What `--help` tells of the variables that have no flags, those of model providers above all."""
    secret = {variable(name): shape for name, shape in _shapes(Settings).items() if not has_flag(name)}
    providers = {variable(name, ProviderSettings): shape for name, shape in _shapes(ProviderSettings).items()}
    lines = [f"{name:20} {shape['description']}" for name, shape in {**secret, **providers}.items()]
    return "Set by variables only, keys also by a file that NAME_FILE names:\n\n\b\n" + "\n".join(lines)


def _shapes(settings: type[BaseSettings]) -> dict[str, dict[str, Any]]:
    """JSON Schema of each field: {"max_running": {"type": "integer", "minimum": 1, "default": 500, ...}}."""
    shapes: dict[str, dict[str, Any]] = settings.model_json_schema()["properties"]
    return shapes


def _default(shape: Mapping[str, Any]) -> str:
    default = shape["default"]
    return str(default).lower() if isinstance(default, bool) else str(default)


def _meaning(shape: Mapping[str, Any]) -> str:
    """The description, with the values or the range that are allowed."""
    if "enum" in shape:
        return f"{shape['description']} One of {', '.join(shape['enum'])}."
    if "minimum" in shape and "maximum" in shape:
        return f"{shape['description']} From {shape['minimum']} to {shape['maximum']}."
    return str(shape["description"])


def _parameter(name: str, shape: Mapping[str, Any]) -> inspect.Parameter:
    told = f"{_meaning(shape)} [env {variable(name)}] [default {_default(shape) or 'none'}]"
    annotation: object
    if shape["type"] == "boolean":
        switch = f"{flag(name)}/{flag('no_' + name)}"
        annotation = Annotated[bool | None, typer.Option(switch, help=told, show_default=False)]
    else:
        metavar = "|".join(shape.get("enum", [])) or _METAVARS[shape["type"]]
        annotation = Annotated[str | None, typer.Option(flag(name), help=told, metavar=metavar, show_default=False)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _told(error: ValidationError, settings: type[BaseSettings], flags: Mapping[str, object]) -> str:
    return "\n".join(_fault(dict(fault), settings, flags) for fault in error.errors(include_url=False))


def _fault(fault: dict[str, Any], settings: type[BaseSettings], flags: Mapping[str, object]) -> str:
    field = str(fault["loc"][0]) if fault["loc"] else ""
    source = flag(field) if field in flags else variable(field, settings)
    message = fault["msg"].removeprefix("Value error, ")
    if settings is ProviderSettings or not has_flag(field):
        return f"{source}: {message}"  # what was given may be a key
    given = re.sub(r"\?.*", "?...", re.sub(r"//.*@", "//...@", str(fault["input"])))
    return f"{source}: {message}; it is {given!r}"
