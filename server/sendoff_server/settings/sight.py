"""What the server tells of itself."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from sendoff_server.settings.group import Group

MOST_TENANTS = 100
"""Each has about as many lines as models are used."""


def _named(tenants: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for each in tenants.split(",") if (name := each.strip())))


class SightSettings(Group):
    """What the server tells of itself."""

    metrics_address: str = Field(
        "off",
        description="Where to serve metrics for Prometheus at /metrics, and health at /livez and /readyz, host:port. "
        "Whoever reaches it is served, so keep it inside. Of several processes the first takes this port, and each "
        "other one the next. `off`: there are none.",
    )

    metrics_tenants: str = Field(
        "",
        description="Tenants whose runs, tokens and costs have lines of their own in the metrics, with commas between "
        "them; all others are told as `other`.",
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

    @field_validator("metrics_tenants")
    @classmethod
    def _are_few(cls, tenants: str) -> str:
        if len(_named(tenants)) > MOST_TENANTS:
            raise ValueError(f"at most {MOST_TENANTS} tenants can have lines of their own")
        return tenants

    @property
    def metrics_tenants_named(self) -> tuple[str, ...]:
        """Each once, in their order."""
        return _named(self.metrics_tenants)

    def metrics_address_of(self, process: int) -> str:
        """Where the process of that number tells its metrics, of several that are counted from 1."""
        if self.metrics_address == "off":
            return "off"
        host, _, port = self.metrics_address.rpartition(":")
        return f"{host}:{int(port) + process - 1}" if port != "0" else self.metrics_address
