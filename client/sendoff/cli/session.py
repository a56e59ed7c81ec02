"""The options that every command knows, and the client that they describe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import grpc
import typer

from sendoff.cli.exits import reporting
from sendoff.cli.pausing import PausingClient
from sendoff.connection import Connection, ConnectionOptions, resolve
from sendoff.retry import UNARY, RetryPolicy

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="JSON instead of text; of several results, one a line.")]

Plain: TypeAlias = Annotated[
    bool, typer.Option("--plain", help="On a terminal, too, write as in a pipe: answers to stdout, talk to stderr.")
]


@dataclass(frozen=True)
class Session:
    """How this command reaches the server."""

    address: str | None
    api_key: str | None
    tls: bool | None
    ca_file: Path | None
    certificate_file: Path | None
    private_key_file: Path | None
    plaintext_api_key: bool
    timeout_s: float

    @contextmanager
    def client(self, retry: RetryPolicy = UNARY) -> Iterator[PausingClient]:
        """A client for the block. Errors in it end the command with a line on stderr and an exit code."""
        with _checked():
            client = PausingClient(self.address, timeout_s=self.timeout_s, retry=retry, **self.connection_options())
        with reporting(), client:
            yield client

    @contextmanager
    def channel(self) -> Iterator[tuple[Connection, grpc.Channel]]:
        """A connection for the block, for calls that the client has no methods for. Errors as with `client`."""
        with _checked():
            connection = resolve(self.address, self.connection_options())
        with reporting(), connection.open() as channel:
            yield connection, channel

    def connection_options(self) -> ConnectionOptions:
        """How to connect, as far as it was said. Reads the files that were named."""
        return {
            "tls": self.tls,
            "root_certificates": _text(self.ca_file),
            "certificate": _text(self.certificate_file),
            "private_key": _text(self.private_key_file),
            "api_key": self.api_key,
            "plaintext_api_key": self.plaintext_api_key,
        }


@contextmanager
def _checked() -> Iterator[None]:
    """Options that do not go together are a wrong command line."""
    try:
        yield
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong)) from wrong


def _text(file: Path | None) -> bytes | None:
    return file.read_bytes() if file is not None else None


def session(context: typer.Context) -> Session:
    """The session of a command, set by the options before it."""
    found = context.obj
    assert isinstance(found, Session)
    return found
