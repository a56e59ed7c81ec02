"""Connections: how they are encrypted, how long they live, how many there may be."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from sendoff_server.settings.group import Group


class EdgeSettings(Group):
    """Connections: how they are encrypted, how long they live, how many there may be."""

    tls_certificate_file: str = Field(
        "",
        description="PEM file of the certificate that both doors show, then of those that lead to its authority; read "
        "again when it changes. Empty: no TLS.",
    )
    tls_key_file: str = Field(
        "", validate_default=True, description="PEM file of its private key, which has no password."
    )
    tls_client_ca_file: str = Field(
        "",
        validate_default=True,
        description="PEM file of the authorities that sign the certificates of callers; then both doors serve nobody "
        "without one. Empty: callers need none.",
    )
    max_connection_age_s: Annotated[float, Field(ge=1, le=31_536_000)] = Field(
        1_800.0,
        description="After about how many seconds a gRPC connection is asked to end, so that callers spread over new "
        "servers and show their certificates again.",
    )
    connection_grace_s: Annotated[float, Field(ge=0, le=86_400)] = Field(
        300.0, description="How many seconds calls under way have from then on until they are cut."
    )
    keepalive_s: Annotated[float, Field(ge=1, le=86_400)] = Field(
        30.0,
        description="After how many silent seconds a gRPC caller is asked whether he is there; who does not answer "
        "within 10 is cut.",
    )
    max_grpc_connections: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        1_000,
        description="Most gRPC connections at once, those under way to be made included; more are closed at once. "
        "Calls and streams share a caller's connection.",
    )
    max_connection_streams: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        1_000,
        description="Most calls and streams at once in one gRPC connection; callers keep more to themselves until one "
        "ends, or open another connection.",
    )

    @field_validator("tls_key_file")
    @classmethod
    def _belongs_to_certificate(cls, key: str, info: ValidationInfo) -> str:
        if bool(key) != bool(info.data.get("tls_certificate_file")):
            raise ValueError("a certificate and its key are needed both, or neither")
        return key

    @field_validator("tls_client_ca_file")
    @classmethod
    def _needs_certificate(cls, authorities: str, info: ValidationInfo) -> str:
        if authorities and not info.data.get("tls_certificate_file"):
            raise ValueError("callers can be asked for certificates only over TLS; set SENDOFF_TLS_CERTIFICATE_FILE")
        return authorities
