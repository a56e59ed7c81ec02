"""What the server tells of itself."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from sendoff_server.settings.group import Group


class SightSettings(Group):
    """What the server tells of itself."""

    metrics_address: str = Field(
        "off",
        description="Where to serve metrics for Prometheus at /metrics, and health at /livez and /readyz, host:port. "
        "Whoever reaches it is served, so keep it inside. Of several processes the first takes this port, and each "
        "other one the next. `off`: there are none.",
    )

    trace_content: bool = Field(
        False,
        description="Have traces tell what was said, and what tools were given and gave. They are kept if "
        "OTEL_EXPORTER_OTLP_ENDPOINT is set, or as OpenTelemetry's other variables say.",
    )

    @field_validator("metrics_address")
    @classmethod
    def _is_place_of_metrics(cls, address: str) -> str:
        found = re.fullmatch(r"\S+:([0-9]{1,5})", address)
        if address != "off" and (found is None or int(found[1]) > 65_535):
            raise ValueError("expected host:port, for example 127.0.0.1:9464, or off")
        return address

    def metrics_address_of(self, process: int) -> str:
        """Where the process of that number tells its metrics, of several that are counted from 1."""
        if self.metrics_address == "off":
            return "off"
        host, _, port = self.metrics_address.rpartition(":")
        return f"{host}:{int(port) + process - 1}" if port != "0" else self.metrics_address
