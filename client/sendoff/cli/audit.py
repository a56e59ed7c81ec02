"""`sendoff audit`."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from sendoff import v1
from sendoff.cli import output, wording
from sendoff.cli.session import Json, session


def audit(
    context: typer.Context,
    key: Annotated[str, typer.Option("--key", help="Only with this API key, by its id.")] = "",
    method: Annotated[str, typer.Option(help="Only this RPC or route, as RunService/CancelRun.")] = "",
    resource: Annotated[str, typer.Option("--id", help="Only what was about the run, agent, ... with this id.")] = "",
    outcome: Annotated[str, typer.Option(help="Only with this outcome, as OK or PERMISSION_DENIED.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Most entries to list.")] = 50,
    as_json: Json = False,
) -> None:
    """List who has done what, newest first. Takes a key with the role operator, where the server has keys."""
    with session(context).client() as client:
        found = client.audit_entries(key_id=key, method=method, resource_id=resource, outcome=outcome)
        entries = list(islice(found, limit))
    columns = ("TIME", "KEY", "NAME", "ADDRESS", "WHAT", "OUTCOME", "ABOUT")
    output.listing(entries, columns, _row, as_json=as_json)


def _row(entry: v1.AuditEntry) -> tuple[str, ...]:
    when, outcome = wording.moment(entry.create_time), entry.outcome or "unknown"
    about = " ".join(entry.resource_ids)
    return when, entry.key_id, entry.key_name, entry.address, entry.method, outcome, about
