"""All metrics as a table, for the page that tells of them. Made from the metrics themselves, so that it cannot lag."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from sendoff_server.clock import SystemClock
from sendoff_server.sight.figures import Figures
from sendoff_server.store.standing import QueueDepth


class _Empty:
    async def queue_depths(self, tenants: object) -> list[QueueDepth]:
        return []


def registry() -> CollectorRegistry:
    """Of a server that nobody has called."""
    return Figures(_Empty(), (), SystemClock()).registry


def families() -> list[Metric]:
    """All that a server tells, by name."""
    return sorted(registry().collect(), key=lambda each: each.name)


def table() -> str:
    """As Markdown."""
    lines = ["| Metric | Kind | Meaning |", "| --- | --- | --- |"]
    lines += [f"| `{_name(each)}` | {each.type} | {each.documentation} |" for each in families()]
    return "\n".join(lines)


def _name(family: Metric) -> str:
    """As queries name it."""
    return f"{family.name}_total" if family.type == "counter" else family.name
