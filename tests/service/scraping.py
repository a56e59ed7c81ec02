"""What a server's metrics tell, as Prometheus reads them."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from sendoff_server import app

Line = tuple[str, tuple[tuple[str, str], ...]]


def line(name: str, **labels: str) -> Line:
    """A name and its labels."""
    return name, tuple(sorted(labels.items()))


class Scraped:
    """All lines of one answer."""

    def __init__(self, text: str) -> None:
        self.families = list(text_string_to_metric_families(text))
        self.lines: dict[Line, float] = {
            line(sample.name, **sample.labels): sample.value for family in self.families for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        """The value of one line; 0 for one that is not there, as nothing of it has happened yet."""
        return self.lines.get(line(name, **labels), 0.0)

    def total(self, name: str, **labels: str) -> float:
        """Of all lines with that name and, among others, these labels."""
        return sum(
            value for (told, of), value in self.lines.items() if told == name and labels.items() <= dict(of).items()
        )


async def scraped(server: app.Server) -> Scraped:
    assert server.metrics is not None
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"http://{server.metrics.address}/metrics", timeout=20)
    assert answer.status_code == 200
    return Scraped(answer.text)
