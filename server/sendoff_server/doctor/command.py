"""What `sendoff-server doctor` prints."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

from sendoff_server import settings_flags
from sendoff_server.doctor import examination
from sendoff_server.doctor.examination import AskTools
from sendoff_server.doctor.findings import Finding, is_well, json_of, lines_of, summary
from sendoff_server.models.port import Catalogue
from sendoff_server.settings import Settings


async def run(settings: Settings, offered: Catalogue, ask_tools: AskTools, *, as_json: bool) -> bool:
    """Print the findings, each as it is there, or all of them as JSON; whether a server can be started."""
    findings: list[Finding] = list(examination.configuration(settings_flags.misspelt()))
    _tell(findings, as_json)
    async with aclosing(examination.examine(settings, offered, ask_tools)) as found:
        async for some in found:
            findings += some
            _tell(some, as_json)
    print(json_of(findings) if as_json else summary(findings))
    return is_well(findings)


def _tell(findings: Sequence[Finding], as_json: bool) -> None:
    if not as_json:
        for finding in findings:
            print(lines_of(finding), flush=True)
