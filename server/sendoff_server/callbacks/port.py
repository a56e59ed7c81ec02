"""What a callback says: asked of whoever knows the dialect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sendoff_server.store.questions import Delivery

Payload = Callable[[Delivery], Awaitable[str]]
"""Makes the body of a delivery; the same whenever it is made, but for a run's state in one that tells no end."""
