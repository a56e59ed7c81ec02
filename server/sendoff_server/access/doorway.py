"""What a door is given beside what stands behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sendoff_server.access.gate import Gate
from sendoff_server.meter import UNMETERED, CallMeter
from sendoff_server.tls.certificates import Certificates
from sendoff_server.tracer import NO_TRACER, Tracer


@dataclass(frozen=True, slots=True, kw_only=True)
class Doorway:
    """Who is let in, how, with how much, and who is told of it."""

    gate: Gate
    max_request_bytes: int
    """Of any request."""
    allowed_request_bytes: Callable[[], int] | None = None
    """Of a request of whoever is acting, which may be less. None: all may send as much."""
    certificates: Certificates | None = None
    """What the door shows. None: there is no TLS."""
    meter: CallMeter = UNMETERED
    tracer: Tracer = NO_TRACER

    def most_request_bytes(self) -> int:
        """How much whoever is acting may send at once."""
        return self.max_request_bytes if self.allowed_request_bytes is None else self.allowed_request_bytes()

    @property
    def asks_for_certificates(self) -> bool:
        """Whether callers have to show one."""
        return self.certificates is not None and self.certificates.asks_callers
