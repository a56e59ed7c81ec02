"""Whom a certificate is for."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sendoff_server.tls.names import names_in
from tests.fixtures.certificates import Authority, Pair

AUTHORITY = Authority()


@pytest.mark.parametrize(
    ("pair", "names"),
    [
        (AUTHORITY.issue("desk.example", "spiffe://here/desk"), ("spiffe://here/desk", "desk.example")),
        (AUTHORITY.issue("desk.example", common_name="admin"), ("desk.example",)),
        (AUTHORITY.issue(common_name="desk"), ("desk",)),
        (AUTHORITY.issue("127.0.0.1", common_name="desk"), ("desk",)),
        (AUTHORITY.issue(), ()),
    ],
    ids=["URI and host", "a common name beside", "a common name alone", "an address beside", "nobody"],
)
def test_uris_come_first_then_hosts_and_a_common_name_only_counts_without_either(
    pair: Pair, names: tuple[str, ...]
) -> None:
    der = x509.load_pem_x509_certificate(pair.certificate).public_bytes(Encoding.DER)

    assert names_in(pair.certificate) == names
    assert names_in(der) == names
