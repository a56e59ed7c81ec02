"""What is read from files is whole and good, or is refused with the file's name and the reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from sendoff_server.tls.material import BadCertificate, Files, read
from tests.fixtures.certificates import HERE, Authority, Pair, write

AUTHORITY = Authority()
PAIR = AUTHORITY.issue(*HERE)
OTHER = AUTHORITY.issue(*HERE)


def test_what_was_read_tells_whom_it_is_for_and_how_long(tmp_path: Path) -> None:
    lasting = AUTHORITY.issue("desk.example", "spiffe://here/desk", lasts=timedelta(days=3))

    material = read(write(tmp_path, lasting, AUTHORITY.pem))

    assert material.names == ("spiffe://here/desk", "desk.example")
    assert (material.certificate, material.key) == (lasting.certificate, lasting.key)
    assert material.client_authorities == AUTHORITY.pem


def test_a_chain_is_as_good_as_what_expires_first_in_it(tmp_path: Path) -> None:
    short = AUTHORITY.issue(*HERE, lasts=timedelta(days=1))

    chained = read(write(tmp_path, Pair(PAIR.certificate + short.certificate, PAIR.key)))

    assert chained.expires == read(write(tmp_path, short)).expires


def test_the_same_files_are_the_same_material(tmp_path: Path) -> None:
    files = write(tmp_path, PAIR)

    assert read(files) == read(files)


def _locked(key: bytes) -> bytes:
    password = BestAvailableEncryption(b"secret")
    return load_pem_private_key(key, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, password)


SPOILT: dict[str, tuple[Callable[[Files], object], str]] = {
    "missing certificate": (lambda files: files.certificate.unlink(), "tls.crt cannot be read"),
    "missing key": (lambda files: files.key.unlink(), "tls.key cannot be read"),
    "missing authorities": (lambda files: files.client_authorities.unlink(), "ca.crt cannot be read"),  # type: ignore[union-attr]  # it is there
    "key of another": (lambda files: files.key.write_bytes(OTHER.key), "not a certificate and its key"),
    "half a certificate": (lambda files: files.certificate.write_bytes(PAIR.certificate[:200]), "not a certificate"),
    "empty": (lambda files: files.certificate.write_bytes(b""), "not a certificate"),
    "key with a password": (lambda files: files.key.write_bytes(_locked(PAIR.key)), "has a password"),
    "no authorities": (lambda files: files.client_authorities.write_bytes(b"nobody"), "ca.crt holds no certificates"),  # type: ignore[union-attr]  # it is there
}


@pytest.mark.parametrize(("spoil", "told"), SPOILT.values(), ids=SPOILT.keys())
def test_files_that_cannot_be_used_are_refused_by_name(
    spoil: Callable[[Files], object], told: str, tmp_path: Path
) -> None:
    files = write(tmp_path, PAIR, AUTHORITY.pem)
    spoil(files)

    with pytest.raises(BadCertificate, match=told) as refused:
        read(files)
    assert "PRIVATE KEY" not in str(refused.value)
