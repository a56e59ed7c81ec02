"""What callers can do with callbacks, as the doors are handed it."""

from __future__ import annotations

from dataclasses import dataclass

from sendoff_server.callbacks.deliveries import DeliveryService
from sendoff_server.callbacks.endpoints import EndpointService
from sendoff_server.callbacks.pulling import Pulling


@dataclass(frozen=True, slots=True)
class CallbackService:
    """The use cases of `CallbackService`, by what they are about."""

    endpoints: EndpointService
    deliveries: DeliveryService
    pulling: Pulling
