"""Whether models can be called."""

from __future__ import annotations

from collections.abc import Sequence

from sendoff_server.doctor.findings import Finding, ok, warning
from sendoff_server.models.port import Catalogue
from sendoff_server.settings_flags import variable


async def check(models: Catalogue) -> Sequence[Finding]:
    """Asks each provider what it offers; none of its models is called, which would cost somebody's money."""
    listed = await models.list()
    counts: dict[str, int] = {}
    for model in listed.models:
        provider = model.handle.partition("/")[0]
        counts[provider] = counts.get(provider, 0) + 1
    findings = [ok("models", f"{provider}/* offers {count}") for provider, count in sorted(counts.items())]
    findings += [
        warning(
            "models",
            f"{provider}/* did not answer, or refused the key",
            "look at its key, at its base URL, and at the network in between; runs on it wait and are tried again",
        )
        for provider in listed.unreachable
    ]
    if not listed.default_handle:
        told = "there is no default model, so agents have to name theirs"
        findings.append(
            warning("default model", told, f"set {variable('default_model')}, or leave it if that is meant")
        )
    else:
        findings.append(ok("default model", listed.default_handle))
    return findings
