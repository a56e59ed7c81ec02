"""Where the server is, and how to speak to it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

import grpc
import grpc.aio

from sendoff.api_key import check

DEFAULT_ADDRESS = "127.0.0.1:50051"

_MAX_RECEIVE_BYTES = 64 * 1024 * 1024
LONGEST_RECONNECT_MS = 1_000
"""How long a server that is back may be left alone. Calls are repeated for longer than that, so that servers may be
replaced one right after the other."""
_SERVICE_CONFIG = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})
# A dead peer is noticed after time + ping timeout. Without the ping timeout gRPC waits a minute, whatever the
# keepalive timeout says.
_OPTIONS: list[tuple[str, str | int]] = [
    ("grpc.primary_user_agent", "sendoff-python"),
    ("grpc.service_config", _SERVICE_CONFIG),
    ("grpc.max_receive_message_length", _MAX_RECEIVE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # no pause: how long an attempt may take
    ("grpc.max_reconnect_backoff_ms", LONGEST_RECONNECT_MS),
]


class ConnectionOptions(TypedDict, total=False):
    """How a client connects; all are optional."""

    tls: bool
    """Encrypt, and check the server's certificate."""
    root_certificates: bytes | None
    """PEM of the authorities to trust. Unset: those of gRPC. Needs `tls`."""
    api_key: str | None
    """Sent as `authorization: Bearer`. Unset: the variable SENDOFF_API_KEY, or none."""
    plaintext_api_key: bool
    """Send the key without TLS to another machine; for networks that encrypt by themselves."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A server's address with what it takes to speak to it.

    Raises ValueError for a combination that would be unsafe or without effect.
    """

    address: str
    tls: bool = False
    root_certificates: bytes | None = None
    api_key: str = field(default="", repr=False)
    plaintext_api_key: bool = False

    def __post_init__(self) -> None:
        if self.address.startswith(("http://", "https://")):
            raise ValueError(f"address {self.address!r}: expected host:port, as in {DEFAULT_ADDRESS}; for TLS set tls")
        if self.root_certificates is not None and not self.tls:
            raise ValueError("root_certificates are without effect unless tls is set")
        if self.api_key:
            check(self.api_key)
        if self.api_key and not (self.tls or self.plaintext_api_key or self.is_local):
            raise ValueError(
                f"an API key is not sent in the clear to {self.address}; set tls, "
                "or plaintext_api_key where the network encrypts"
            )

    @property
    def is_local(self) -> bool:
        """Whether the address is on this machine, as far as its text tells."""
        host = self.address.removeprefix("dns:").removeprefix("///").removeprefix("ipv4:").removeprefix("ipv6:")
        return host.startswith(("127.", "localhost:", "[::1]", "unix:"))

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries."""
        return (("authorization", f"Bearer {self.api_key}"),) if self.api_key else ()

    def open(self) -> grpc.Channel:
        """A channel for blocking calls. Connects with the first call."""
        if not self.tls:
            return grpc.insecure_channel(self.address, self._options())
        return grpc.secure_channel(self.address, grpc.ssl_channel_credentials(self.root_certificates), self._options())

    def open_aio(self) -> grpc.aio.Channel:
        """A channel for the running event loop, and no other. Connects with the first call."""
        if not self.tls:
            return grpc.aio.insecure_channel(self.address, self._options())
        credentials = grpc.ssl_channel_credentials(self.root_certificates)
        return grpc.aio.secure_channel(self.address, credentials, self._options())

    def _options(self) -> list[tuple[str, str | int]]:
        # A proxy set for the web cannot reach this machine by its loopback address.
        return [*_OPTIONS, ("grpc.enable_http_proxy", 0)] if self.is_local else _OPTIONS


def resolve(address: str | None, options: ConnectionOptions, environment: Mapping[str, str] = os.environ) -> Connection:
    """What was given, then the environment (SENDOFF_ADDRESS, SENDOFF_API_KEY), then the defaults."""
    return Connection(
        address=address or environment.get("SENDOFF_ADDRESS") or DEFAULT_ADDRESS,
        tls=options.get("tls", False),
        root_certificates=options.get("root_certificates"),
        api_key=options.get("api_key") or environment.get("SENDOFF_API_KEY") or "",
        plaintext_api_key=options.get("plaintext_api_key", False),
    )
