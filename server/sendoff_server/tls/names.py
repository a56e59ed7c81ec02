"""Whom a certificate is for."""

from __future__ import annotations

from functools import lru_cache

from cryptography import x509

_Alternative = x509.SubjectAlternativeName


@lru_cache(maxsize=1_024)
def names_in(certificate: bytes) -> tuple[str, ...]:
    """Whom a certificate in PEM or DER is for, as `told_by` has it. Kept, as each call of a connection asks again."""
    if certificate.startswith(b"-----BEGIN"):
        return told_by(x509.load_pem_x509_certificate(certificate))
    return told_by(x509.load_der_x509_certificate(certificate))


def told_by(certificate: x509.Certificate) -> tuple[str, ...]:
    """Its URIs, as spiffe://here/desk, then its DNS names; only if it has neither the common name of its subject.

    An authority that vouches for the first two need not have looked at the last.
    """
    alternatives = _alternatives(certificate)
    if alternatives is not None:
        uris = alternatives.get_values_for_type(x509.UniformResourceIdentifier)
        names = (*uris, *alternatives.get_values_for_type(x509.DNSName))
        if names:
            return names
    common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return tuple(str(name.value) for name in common[:1])


def _alternatives(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(_Alternative).value
    except x509.ExtensionNotFound:
        return None
