"""TLS of the gRPC door."""

from __future__ import annotations

import grpc

from sendoff_server.tls.certificates import Certificates
from sendoff_server.tls.material import Material


def server_credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Shows each connection what the certificates are when it begins."""
    shown = certificates.current

    def newer() -> grpc.ServerCertificateConfiguration | None:
        """Asked by gRPC, in threads of its own, at each handshake. None: what was shown last is still good."""
        nonlocal shown
        current = certificates.current
        if current is shown:
            return None
        shown = current
        return _configuration(current)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(shown),
        newer,  # type: ignore[arg-type]  # the stubs do not know that None may be answered
        require_client_authentication=certificates.asks_callers,
    )


def _configuration(material: Material) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(material.key, material.certificate)], material.client_authorities
    )
