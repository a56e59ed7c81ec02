"""Where a server may listen that nobody needs a key for."""

from __future__ import annotations

import structlog

from sendoff_server.networks import is_local
from sendoff_server.settings import Settings

log = structlog.get_logger(__name__)


class AddressNeedsKeys(Exception):
    """Other machines would reach the server, and each could do everything."""

    def __init__(self, addresses: list[str]) -> None:
        super().__init__(
            f"other machines reach {' and '.join(addresses)}, and there are no keys, so that whoever reaches it could "
            "do everything: make a key with `sendoff-server keys create` and start again; or listen on 127.0.0.1 with "
            "SENDOFF_GRPC_ADDRESS and SENDOFF_HTTP_ADDRESS; or, where nobody else reaches these addresses, set "
            "SENDOFF_INSECURE=true or --insecure"
        )


def check_addresses(settings: Settings, *, has_keys: bool) -> None:
    """Raises AddressNeedsKeys where a server would serve strangers, unless it was told to, which is logged."""
    told = [settings.grpc_address, *([settings.http_address] if settings.http_address != "off" else [])]
    strange = [address for address in told if not is_local(address)]
    if not strange or has_keys:
        return
    if not settings.insecure:
        raise AddressNeedsKeys(strange)
    log.warning("whoever reaches these addresses may do everything: there are no keys", addresses=strange)
