"""What the server tells of itself."""

from __future__ import annotations

from pydantic import Field

from sendoff_server.settings.group import Group


class SightSettings(Group):
    """What the server tells of itself."""

    trace_content: bool = Field(
        False,
        description="Have traces tell what was said, and what tools were given and gave. They are kept if "
        "OTEL_EXPORTER_OTLP_ENDPOINT is set, or as OpenTelemetry's other variables say.",
    )
