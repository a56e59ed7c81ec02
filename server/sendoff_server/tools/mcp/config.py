"""The operator's file of MCP servers: {"mcpServers": {"time": {"command": ...}, "search": {"url": ...}}}.

`${VAR}` in `env`, `headers` and `url` is taken from our environment. What stands there may be a secret, so it is told
to nobody: neither in messages nor in logs.
"""

from __future__ import annotations

import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo

from sendoff import v1

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,32}")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LEAST_SECRET = 6
"""Shorter values are not blotted out: that would tell more than it hides, and make messages unreadable."""


class BadMcpServers(ValueError):
    """The file cannot be used; the message says why, a fault a line."""


def _expanded(text: object, info: ValidationInfo) -> object:
    if not isinstance(text, str):
        return text
    environment: Mapping[str, str] = info.context or {}

    def value(match: re.Match[str]) -> str:
        if match[1] not in environment:
            raise ValueError(f"the variable {match[1]} is not set")
        return environment[match[1]]

    if "${" in _VARIABLE.sub("", text):
        raise ValueError("expected ${NAME} with a closing brace and letters, digits and _ in the name")
    expanded = _VARIABLE.sub(value, text)
    if "\0" in expanded:
        raise ValueError("it has a NUL character")
    return expanded


def _header(text: object, info: ValidationInfo) -> object:
    expanded = _expanded(text, info)
    if isinstance(expanded, str) and (not expanded.isprintable() or expanded != expanded.strip()):
        raise ValueError("expected one line of printable characters, without spaces around it")
    return expanded


def _url(text: object, info: ValidationInfo) -> object:
    expanded = _expanded(text, info)
    if isinstance(expanded, str):
        parts = urlsplit(expanded)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected an absolute http or https URL")
    return expanded


class ServerConfig(BaseModel, ABC):
    """What holds for a server of any kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tools: frozenset[str] | None = None
    """The server's own names of the tools that are offered. None: all."""
    effects: Mapping[str, Literal["READ_ONLY", "IDEMPOTENT", "ONCE"]] = Field(default_factory=dict)
    """What a repeated call does, by the server's own name of the tool; this wins over what the server says."""
    timeout_s: Annotated[float, Field(gt=0, le=86_400)] | None = None
    """How long a call may take."""
    requires_approval: bool | frozenset[str] = False
    """Whether each call waits for an approval, or of which tools it does."""

    @property
    @abstractmethod
    def where(self) -> str:
        """The server for people, without anything secret."""

    @abstractmethod
    def _secrets(self) -> list[str]: ...

    def effect(self, tool: str) -> v1.ToolEffect.ValueType | None:
        named = self.effects.get(tool)
        return v1.ToolEffect.Value(f"TOOL_EFFECT_{named}") if named else None

    def approval(self, tool: str) -> bool:
        return self.requires_approval if isinstance(self.requires_approval, bool) else tool in self.requires_approval

    @property
    def named_tools(self) -> frozenset[str]:
        """All tools that the configuration speaks of."""
        approved = frozenset[str]() if isinstance(self.requires_approval, bool) else self.requires_approval
        return frozenset(self.effects) | (self.tools or frozenset()) | approved

    def blotted(self, text: str) -> str:
        """The text with everything blotted out that this configuration keeps secret."""
        values = {word for secret in self._secrets() for word in (secret, *secret.split())}
        for value in sorted(values, key=len, reverse=True):
            if len(value) >= _LEAST_SECRET:
                text = text.replace(value, "***")
        return text


class StdioServer(ServerConfig):
    """A program that we start and speak to over its standard input and output."""

    type: Literal["stdio"] = "stdio"
    command: Annotated[str, Field(min_length=1)]
    args: tuple[str, ...] = ()
    env: Mapping[str, Annotated[SecretStr, BeforeValidator(_expanded)]] = Field(default_factory=dict)

    @property
    def where(self) -> str:
        return f"stdio {self.command}"

    def _secrets(self) -> list[str]:
        return [value.get_secret_value() for value in self.env.values()]


class HttpServer(ServerConfig):
    """A server that is reached by streamable HTTP."""

    type: Literal["http", "streamable-http"] = "http"
    url: Annotated[SecretStr, BeforeValidator(_url)]
    headers: Mapping[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")],
        Annotated[SecretStr, BeforeValidator(_header)],
    ] = Field(default_factory=dict)

    @property
    def where(self) -> str:
        parts = urlsplit(self.url.get_secret_value())
        return f"{parts.scheme} {parts.hostname}"

    def _secrets(self) -> list[str]:
        return [self.url.get_secret_value(), *(value.get_secret_value() for value in self.headers.values())]


def read(path: Path | None) -> Mapping[str, ServerConfig]:
    """The servers of the file, by name; none without a file. Raises BadMcpServers."""
    if path is None:
        return {}
    try:
        return from_json(path.read_text(), os.environ)
    except OSError as error:
        raise BadMcpServers(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadMcpServers(f"{path}: it is not UTF-8") from None
    except BadMcpServers as error:
        raise BadMcpServers("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from None


def from_json(text: str, environment: Mapping[str, str]) -> Mapping[str, ServerConfig]:
    """The servers of a file with that text. Raises BadMcpServers."""
    try:
        told = json.loads(text, object_pairs_hook=_without_repeats)
    except ValueError as error:  # its message does not show what stands there
        raise BadMcpServers(f"it is not JSON: {error}") from None
    except RecursionError:
        raise BadMcpServers("it is nested too deeply") from None
    return _servers(told, environment)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("an object has two members of one name")
    return members


def _servers(told: object, environment: Mapping[str, str]) -> Mapping[str, ServerConfig]:
    entries = told.get("mcpServers") if isinstance(told, dict) else None
    if not isinstance(told, dict) or not isinstance(entries, dict) or len(told) > 1:
        raise BadMcpServers('expected {"mcpServers": {NAME: SERVER, ...}} and nothing beside it')
    servers: dict[str, ServerConfig] = {}
    faults: list[str] = []
    for name, entry in entries.items():
        try:
            servers[name] = _server(name, entry, environment)
        except BadMcpServers as error:
            faults += [f"server {name!r}: {line}" for line in str(error).splitlines()]
    if faults:
        raise BadMcpServers("\n".join(faults))
    return servers


def _server(name: str, entry: object, environment: Mapping[str, str]) -> ServerConfig:
    if not _NAME.fullmatch(name):
        raise BadMcpServers("its name is not 1 to 32 letters, digits, - and _")
    if not isinstance(entry, dict) or ("command" in entry) == ("url" in entry):
        raise BadMcpServers("expected an object with either command or url")
    kind = StdioServer if "command" in entry else HttpServer
    try:
        return kind.model_validate(entry, context=environment)
    except ValidationError as error:
        raise BadMcpServers("\n".join(_fault(dict(fault), kind) for fault in error.errors())) from None


def _fault(fault: dict[str, Any], kind: type[StdioServer] | type[HttpServer]) -> str:
    """One fault in one line. Never what was given: it may be a secret."""
    member = ".".join(str(step) for step in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{member}: there is no such member; there are {', '.join(sorted(kind.model_fields))}"
    return f"{member}: {fault['msg'].removeprefix('Value error, ')}"
