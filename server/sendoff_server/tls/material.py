"""What TLS needs, read from files and checked as a whole before it is used."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509

from sendoff_server.tls.names import told_by


class BadCertificate(Exception):
    """The files cannot be used; says which, and why."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where it stands, each in PEM."""

    certificate: Path
    """The server's certificate, then those that lead to its authority."""
    key: Path
    """The private key, not encrypted."""
    client_authorities: Path | None = None
    """Who signs the certificates of callers. None: callers are not asked for one."""


@dataclass(frozen=True, slots=True)
class Material:
    """What one set of files said, at one moment."""

    certificate: bytes
    key: bytes = field(repr=False)
    client_authorities: bytes | None
    context: ssl.SSLContext = field(repr=False, compare=False)
    """For HTTP; made of the same."""
    names: tuple[str, ...]
    """Whom the certificate is for."""
    expires: datetime
    """UTC; when the first of the chain ends to be good."""


def read(files: Files) -> Material:
    """Read and check the files. Blocks. Raises BadCertificate, also while they are being replaced."""
    before = _texts(files)
    context = _context(files)
    if _texts(files) != before:
        raise BadCertificate(f"{files.certificate} and what belongs to it were changed while they were read")
    certificate, key, client_authorities = before
    chain = _chain(files.certificate, certificate)
    return Material(
        certificate=certificate,
        key=key,
        client_authorities=client_authorities,
        context=context,
        names=told_by(chain[0]),
        expires=min(each.not_valid_after_utc for each in chain),
    )


def _texts(files: Files) -> tuple[bytes, bytes, bytes | None]:
    authorities = _text(files.client_authorities) if files.client_authorities is not None else None
    return _text(files.certificate), _text(files.key), authorities


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadCertificate(f"{path} cannot be read: {error.strerror}") from error


def _chain(path: Path, text: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError as error:
        raise BadCertificate(f"{path} holds no certificate in PEM") from error


def _context(files: Files) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (ssl.SSLError, OSError) as error:
        raise BadCertificate(f"{files.certificate} and {files.key} are not a certificate and its key in PEM") from error
    if files.client_authorities is not None:
        _trust(context, files.client_authorities)
    return context


def _no_password() -> str:
    raise BadCertificate("the private key has a password; keep it without one, in a file that only the server reads")


def _trust(context: ssl.SSLContext, authorities: Path) -> None:
    try:
        context.load_verify_locations(authorities)
    except (ssl.SSLError, OSError) as error:
        raise BadCertificate(f"{authorities} holds no certificates of authorities in PEM") from error
    context.verify_mode = ssl.CERT_REQUIRED
