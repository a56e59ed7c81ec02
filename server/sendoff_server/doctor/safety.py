"""Who is let in, what goes over the wire in the clear, and files that the server reads while it starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sendoff_server.admission.book import BadQuotas
from sendoff_server.admission_parts import book_of
from sendoff_server.clock import SystemClock
from sendoff_server.doctor.findings import Finding, ok, problem, warning
from sendoff_server.settings import Settings
from sendoff_server.settings_flags import variable
from sendoff_server.tls.material import BadCertificate, Files, Material, read
from sendoff_server.tracing.exporting import BadTracing, is_wanted

_SOON = timedelta(days=14)


def check(settings: Settings) -> Iterator[Finding]:
    yield _tls(settings)
    if not settings.encryption and not settings.is_local:
        told = "secrets of endpoints stand in the database as they are, and secrets of agents are refused"
        mend = f"make a key with `sendoff-server secrets new-key`, and set {variable('encryption_keys')}"
        yield warning("encryption", told, mend)
    yield from _files(settings)


def keys(settings: Settings, has_keys: bool) -> Iterator[Finding]:
    if has_keys:
        yield ok("keys", "every call needs a key")
    elif settings.is_local:
        yield ok("keys", "there are none: whoever is on this machine may do everything")
    elif settings.insecure:
        told = "there are none: whoever reaches the addresses may do everything"
        yield warning("keys", told, "make one with `sendoff-server keys create`, unless nobody else reaches them")
    else:
        told = "there are none, and other machines reach the addresses: the server does not start so"
        yield problem("keys", told, "make one with `sendoff-server keys create`")


def _tls(settings: Settings) -> Finding:
    if settings.tls_certificate_file:
        return _certificate(settings)
    if settings.is_local:
        return ok("TLS", "there is none, and only this machine reaches the addresses")
    told = "keys and messages go over the wire in the clear"
    mend = f"set {variable('tls_certificate_file')} and {variable('tls_key_file')}, unless what is in front encrypts"
    return warning("TLS", told, mend)


def _certificate(settings: Settings) -> Finding:
    authorities = settings.tls_client_ca_file
    files = Files(
        Path(settings.tls_certificate_file), Path(settings.tls_key_file), Path(authorities) if authorities else None
    )
    try:
        return _expiry(read(files))
    except BadCertificate as bad:
        return problem("TLS", str(bad), "write the files anew; the server reads them while it runs")


def _expiry(material: Material) -> Finding:
    left = material.expires - datetime.now(UTC)
    told = f"the certificate for {', '.join(material.names)} is good until {material.expires:%Y-%m-%d %H:%M} UTC"
    if left < timedelta(0):
        return problem("TLS", told, "replace it; the server reads the new one while it runs")
    if left < _SOON:
        return warning("TLS", told, "replace it soon; the server reads the new one while it runs")
    return ok("TLS", told)


def _files(settings: Settings) -> Iterator[Finding]:
    try:
        book_of(settings, SystemClock())
    except BadQuotas as bad:
        yield problem("quotas", str(bad), f"mend the file, or unset {variable('quotas_file')}")
    try:
        told = "are kept" if is_wanted(os.environ) else "are not kept; OTEL_EXPORTER_OTLP_ENDPOINT turns them on"
        yield ok("traces", told)
    except BadTracing as bad:
        yield problem("traces", str(bad), "set it to one of those, or unset it")
