"""Where the server is, and how to speak to it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import grpc
import grpc.aio

from sendoff.addresses import are_several, is_local, joined, target
from sendoff.api_key import check

DEFAULT_ADDRESS = "127.0.0.1:50051"

_MAX_RECEIVE_BYTES = 64 * 1024 * 1024
LONGEST_RECONNECT_MS = 1_000
"""How long a server that is back may be left alone. Calls are repeated for longer than that, so that servers may be
replaced one right after the other."""
# Retries are ours (`retry.py`) and not gRPC's: it makes five attempts at most, repeats by status alone, does not hear
# when the server wants to be asked again, and cannot resume a watch. Both together would multiply.
_BALANCED: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
_HEALTHY = {**_BALANCED, "healthCheckConfig": {"serviceName": ""}}
# A dead peer is noticed after time + ping timeout. Without the ping timeout gRPC waits a minute, whatever the
# keepalive timeout says.
_OPTIONS: list[tuple[str, str | int]] = [
    ("grpc.primary_user_agent", "sendoff-python"),
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

    tls: bool | None
    """Encrypt, and check the server's certificate. Unset: whether the variable SENDOFF_TLS is 1, or true."""
    root_certificates: bytes | None
    """PEM of the authorities to trust. Unset: the file SENDOFF_CA_FILE, or those of gRPC. Needs `tls`."""
    certificate: bytes | None
    """PEM of a certificate of one's own, then of those that lead to its authority, for servers that ask for one.
    Unset: the file SENDOFF_CERTIFICATE_FILE, or none. Needs `tls` and `private_key`."""
    private_key: bytes | None
    """PEM of its private key. Unset: the file SENDOFF_PRIVATE_KEY_FILE."""
    api_key: str | None
    """Sent as `authorization: Bearer`. Unset: the variable SENDOFF_API_KEY, or none."""
    plaintext_api_key: bool
    """Send the key without TLS to another machine; for networks that encrypt by themselves."""
    server_name: str | None
    """The name that certificates are checked for. Unset: that of the address. Several addresses with `tls` need it."""
    health_checks: bool | None
    """Ask each server whether it takes requests, and call only those that do. Unset: if there are several addresses.
    Not for balancers: behind one, a server's word is taken for all."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A server's address with what it takes to speak to it.

    Raises ValueError for a combination that would be unsafe or without effect.
    """

    address: str
    tls: bool = False
    root_certificates: bytes | None = None
    certificate: bytes | None = None
    private_key: bytes | None = field(default=None, repr=False)
    api_key: str = field(default="", repr=False)
    plaintext_api_key: bool = False
    server_name: str = ""
    health_checks: bool = False

    def __post_init__(self) -> None:
        if self.address.startswith(("http://", "https://")):
            raise ValueError(f"address {self.address!r}: expected host:port, as in {DEFAULT_ADDRESS}; for TLS set tls")
        target(self.address)
        if self.tls and are_several(self.address) and not self.server_name:
            raise ValueError("with tls and several addresses, server_name has to tell whose certificates to expect")
        for name in ("root_certificates", "certificate", "private_key", "server_name"):
            if getattr(self, name) not in (None, "") and not self.tls:
                raise ValueError(f"{name} is without effect unless tls is set")
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("a certificate and its private_key are needed both, or neither")
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
        return is_local(self.address)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries."""
        return (("authorization", f"Bearer {self.api_key}"),) if self.api_key else ()

    def open(self) -> grpc.Channel:
        """A channel for blocking calls. Connects with the first call."""
        if not self.tls:
            return grpc.insecure_channel(target(self.address), self._options())
        return grpc.secure_channel(target(self.address), self._credentials(), self._options())

    def open_aio(self) -> grpc.aio.Channel:
        """A channel for the running event loop, and no other. Connects with the first call."""
        if not self.tls:
            return grpc.aio.insecure_channel(target(self.address), self._options())
        return grpc.aio.secure_channel(target(self.address), self._credentials(), self._options())

    def _credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(self.root_certificates, self.private_key, self.certificate)

    def _options(self) -> list[tuple[str, str | int]]:
        config = json.dumps(_HEALTHY if self.health_checks else _BALANCED)
        options: list[tuple[str, str | int]] = [*_OPTIONS, ("grpc.service_config", config)]
        if self.server_name:
            options.append(("grpc.default_authority", self.server_name))
        if self.is_local:  # a proxy set for the web cannot reach this machine by its loopback address
            options.append(("grpc.enable_http_proxy", 0))
        return options


def resolve(
    address: str | Sequence[str] | None, options: ConnectionOptions, environment: Mapping[str, str] = os.environ
) -> Connection:
    """What was given, then the environment (SENDOFF_ADDRESS, SENDOFF_API_KEY, SENDOFF_TLS and its files), then the
    defaults.

    The files are for connections with TLS: they are not read if `tls` is False. Raises ValueError.
    """
    tls = options.get("tls")
    files = _NO_FILES if tls is False else environment
    found = joined(address or environment.get("SENDOFF_ADDRESS") or DEFAULT_ADDRESS)
    health_checks = options.get("health_checks")
    return Connection(
        address=found,
        tls=_is_on("SENDOFF_TLS", environment) if tls is None else tls,
        root_certificates=_given_or_in_file(options.get("root_certificates"), "SENDOFF_CA_FILE", files),
        certificate=_given_or_in_file(options.get("certificate"), "SENDOFF_CERTIFICATE_FILE", files),
        private_key=_given_or_in_file(options.get("private_key"), "SENDOFF_PRIVATE_KEY_FILE", files),
        api_key=options.get("api_key") or environment.get("SENDOFF_API_KEY") or "",
        plaintext_api_key=options.get("plaintext_api_key", False),
        server_name=options.get("server_name") or "",
        health_checks=are_several(found) if health_checks is None else health_checks,
    )


_NO_FILES: Mapping[str, str] = {}


def _is_on(variable: str, environment: Mapping[str, str]) -> bool:
    text = environment.get(variable, "").lower()
    if text not in ("", "0", "false", "1", "true"):
        raise ValueError(f"{variable} is {text!r}; expected 1 or 0")
    return text in ("1", "true")


def _given_or_in_file(given: bytes | None, variable: str, environment: Mapping[str, str]) -> bytes | None:
    path = environment.get(variable)
    if given is not None or not path:
        return given
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{variable}: {path} cannot be read: {error.strerror}") from error
