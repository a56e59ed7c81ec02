"""The parts that tell of the server, put together for `app`. What is not wanted is not imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sendoff_server.api.server import GrpcServer
from sendoff_server.gateway.metrics_door import MetricsDoor
from sendoff_server.settings import Settings

if TYPE_CHECKING:
    from sendoff_server.sight.figures import Figures


def figures_of(settings: Settings) -> Figures | None:
    """None: nothing is counted."""
    if settings.metrics_address == "off":
        return None
    from sendoff_server.sight.figures import Figures

    return Figures()


def metrics_door(settings: Settings, figures: Figures | None, grpc: GrpcServer) -> MetricsDoor | None:
    if figures is None:
        return None
    from sendoff_server.sight.figures import CONTENT_TYPE

    return MetricsDoor(settings.metrics_address, figures.exposition, CONTENT_TYPE, lambda: grpc.is_serving)
