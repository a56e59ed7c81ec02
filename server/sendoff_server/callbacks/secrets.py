"""Secrets of endpoints, which are sealed wherever they are kept, and opened to sign or for who makes one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sendoff_server.callbacks.signing import valid_secrets
from sendoff_server.encryption.sealer import Place, Sealer
from sendoff_server.store.questions import Endpoint, Secret


class EndpointSecrets:
    """Seals and opens them."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def sealed(self, tenant: str, endpoint_id: str, secrets: Sequence[Secret]) -> list[Secret]:
        """As they are kept, also those that were sealed with an older key."""
        place = Place(tenant, endpoint_id)
        return [replace(secret, text=self._sealer.renewed(secret.text, place)) for secret in secrets]

    def newest(self, tenant: str, endpoint: Endpoint) -> str:
        """As it was made; empty for an endpoint without a URL. Raises SecretUnreadable."""
        secrets = endpoint.secrets
        return self._sealer.open(secrets[0].text, Place(tenant, endpoint.told.id)) if secrets else ""

    def signing(self, tenant: str, endpoint: Endpoint, now_ns: int) -> Sequence[str]:
        """What signs its deliveries at that time, newest first. Raises SecretUnreadable."""
        place = Place(tenant, endpoint.told.id)
        return [self._sealer.open(kept, place) for kept in valid_secrets(endpoint, now_ns)]
