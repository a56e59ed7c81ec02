"""`sendoff callbacks ...`."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import Annotated, TypeAlias

import typer

from sendoff import v1
from sendoff.callbacks import EndpointFields
from sendoff.cli import completion, details, listening, output, receiving, wording
from sendoff.cli.exits import ExitCode
from sendoff.cli.ids import AgentOfRuns, DeliveryId, EndpointId, EndpointOption, RunOption
from sendoff.cli.options import EventType, moment_or_span, span_s
from sendoff.cli.session import Json, session

Url: TypeAlias = Annotated[str | None, typer.Option(help="Where the server POSTs.")]
Description: TypeAlias = Annotated[str | None, typer.Option(help="What it is for, for people.")]
IncludeRun: TypeAlias = Annotated[
    bool | None, typer.Option("--include-run/--ids-only", help="Tell the run and its result, or ids and status alone.")
]
Limit: TypeAlias = Annotated[int, typer.Option(help="At most so many.", min=1)]

callbacks = typer.Typer(no_args_is_help=True, help="Endpoints that are told of runs, and what became of each delivery.")
callbacks.command("listen")(listening.listen)
callbacks.command("receive")(receiving.receive)

_MOST_PER_PAGE = 1000


class DeliveryStatus(StrEnum):
    """How a delivery stands; the values of v1.DeliveryStatus."""

    pending = "pending"
    delivered = "delivered"
    dead_lettered = "dead-lettered"


# ---- endpoints ----


@callbacks.command("create")
def create(
    context: typer.Context,
    url: Url = None,
    pull: Annotated[
        bool, typer.Option("--pull", help="Without a URL: `sendoff callbacks receive` takes what it gets.")
    ] = False,
    event: EventType = None,
    agent: AgentOfRuns = None,
    include_run: IncludeRun = None,
    description: Description = None,
    request_id: Annotated[
        str | None, typer.Option(help="Name of this request: sent again, it is the same endpoint.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Register an endpoint for callbacks; prints its id, and its secret once."""
    if (url is None) != pull:
        raise typer.BadParameter("either --url, where the server sends, or --pull")
    fields = _fields(url, event, include_run, description, disabled=None)
    with session(context).client() as client:
        made = client.create_endpoint(agent_id=agent, request_id=request_id, **fields)
    if as_json:
        output.document(made)
        return
    output.say(made.endpoint.id)
    if made.secret:
        _show_secret(made.secret)


@callbacks.command("list", hidden=True)  # as many type it
@callbacks.command("ls")
def list_endpoints(context: typer.Context, limit: Limit = 50, as_json: Json = False) -> None:
    """List endpoints, newest first."""
    with session(context).client() as client:
        found = islice(client.endpoints(page_size=min(limit, _MOST_PER_PAGE)), limit)
        output.listing(
            found, ("ENDPOINT", "URL", "EVENTS", "AGENT", "STATUS", "DESCRIPTION"), _endpoint_row, as_json=as_json
        )


@callbacks.command("get")
def get(context: typer.Context, endpoint_id: EndpointId, as_json: Json = False) -> None:
    """Show an endpoint, without its secrets."""
    with session(context).client() as client:
        _show_endpoint(client.get_endpoint(endpoint_id), as_json=as_json)


@callbacks.command("update")
def update(
    context: typer.Context,
    endpoint_id: EndpointId,
    url: Url = None,
    event: EventType = None,
    include_run: IncludeRun = None,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="What it misses while it is disabled can be redelivered.")
    ] = None,
    description: Description = None,
    etag: Annotated[str | None, typer.Option(help="Change it only if this is still its etag.")] = None,
    as_json: Json = False,
) -> None:
    """Change an endpoint; what is not given stays as it is. Deliveries that wait go where it then says."""
    fields = _fields(url, event, include_run, description, disabled=None if enabled is None else not enabled)
    if not fields:
        raise typer.BadParameter("nothing to change: give --url, --event, --enable, --disable, ...")
    with session(context).client() as client:
        _show_endpoint(client.update_endpoint(endpoint_id, etag=etag, **fields), as_json=as_json)


@callbacks.command("delete", hidden=True)
@callbacks.command("rm")
def remove(context: typer.Context, endpoint_id: EndpointId, as_json: Json = False) -> None:
    """Delete an endpoint with its deliveries; those that wait are not sent any more."""
    with session(context).client() as client:
        client.delete_endpoint(endpoint_id)
    output.removed(endpoint_id, as_json=as_json)


@callbacks.command("rotate")
def rotate(
    context: typer.Context,
    endpoint_id: EndpointId,
    overlap: Annotated[
        str | None,
        typer.Option(metavar="SPAN", help="How long older secrets still sign, as 90s, 30m, 24h or 7d; unset: 24h."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a new secret for an endpoint, and print it once."""
    overlap_s = None if overlap is None else span_s("--overlap", overlap)
    with session(context).client() as client:
        secret = client.rotate_secret(endpoint_id, overlap_s=overlap_s)
    if as_json:
        output.document(v1.RotateSecretResponse(secret=secret))
    else:
        _show_secret(secret)


@callbacks.command("test")
def try_endpoint(context: typer.Context, endpoint_id: EndpointId, as_json: Json = False) -> None:
    """Have an event of type endpoint.test sent to an endpoint, once; exit code 1 if it does not arrive."""
    with session(context).client() as client:
        attempt = client.test_endpoint(endpoint_id)
    if as_json:
        output.document(attempt)
    else:
        output.say(wording.attempt(attempt))
    if attempt.error:
        raise typer.Exit(ExitCode.RUN_FAILED)


# ---- deliveries ----


@callbacks.command("deliveries")
def deliveries(
    context: typer.Context,
    run: RunOption = None,
    endpoint: EndpointOption = None,
    status: Annotated[
        list[DeliveryStatus] | None, typer.Option(help="Only those in this status; may be given again.")
    ] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List deliveries, newest first, with what came of their last attempts."""
    statuses = [v1.DeliveryStatus.Value(f"DELIVERY_STATUS_{each.name.upper()}") for each in status or []]
    page_size = min(limit, _MOST_PER_PAGE)
    with session(context).client() as client:
        found = islice(
            client.deliveries(run_id=run, endpoint_id=endpoint, statuses=statuses, page_size=page_size), limit
        )
        columns = ("DELIVERY", "EVENT", "RUN", "TO", "STATUS", "ATTEMPTS", "LAST ATTEMPT", "NEXT ATTEMPT")
        output.listing(found, columns, wording.delivery, as_json=as_json)


@callbacks.command("delivery")
def delivery(
    context: typer.Context,
    delivery_id: DeliveryId,
    as_json: Json = False,
) -> None:
    """Show a delivery with its attempts."""
    with session(context).client() as client:
        found = client.get_delivery(delivery_id)
    if as_json:
        output.document(found)
        return
    output.fields(details.of_delivery(found))
    if found.attempts:
        output.say("")
        output.table(("ATTEMPT", "WHAT CAME OF IT"), map(_attempt_row, found.attempts))


@callbacks.command("redeliver")
def redeliver(
    context: typer.Context,
    delivery_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DELIVERY]...", help="Ids of deliveries.", autocompletion=completion.delivery_ids),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(help="Instead: all dead letters of this endpoint.", autocompletion=completion.endpoint_ids),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="With --endpoint: those written since then, as 2h (ago) or 2026-03-04T10:15:00Z."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Have deliveries tried again, under the ids that they have; prints how many."""
    if bool(delivery_ids) == (endpoint is not None):
        raise typer.BadParameter("either ids of deliveries, or --endpoint")
    if since is not None and endpoint is None:
        raise typer.BadParameter("--since goes with --endpoint")
    begin = None if since is None else moment_or_span("--since", since, datetime.now(UTC))
    with session(context).client() as client:
        if endpoint is None:
            queued = client.redeliver(delivery_ids or [])
        else:
            queued = client.redeliver_missed(endpoint, since=begin)
    if as_json:
        output.document(v1.RedeliverResponse(queued=queued))
    else:
        output.say(str(queued))


# ---- how ----


def _fields(
    url: str | None,
    events: list[str] | None,
    include_run: bool | None,
    description: str | None,
    *,
    disabled: bool | None,
) -> EndpointFields:
    """What is given, and nothing else."""
    fields: EndpointFields = {}
    if url is not None:
        fields["url"] = url
    if events:
        fields["event_types"] = events
    if include_run is not None:
        fields["include_run"] = include_run
    if description is not None:
        fields["description"] = description
    if disabled is not None:
        fields["disabled"] = disabled
    return fields


def _show_endpoint(endpoint: v1.CallbackEndpoint, *, as_json: bool) -> None:
    if as_json:
        output.document(endpoint)
    else:
        output.fields(details.of_endpoint(endpoint))


def _show_secret(secret: str) -> None:
    output.say(secret)
    output.note("The receiver verifies with this secret (Standard Webhooks). Keep it now: it is not shown again.")


def _attempt_row(attempt: v1.DeliveryAttempt) -> tuple[str, ...]:
    return wording.moment(attempt.start_time), wording.attempt(attempt)


def _endpoint_row(endpoint: v1.CallbackEndpoint) -> tuple[str, ...]:
    return (
        endpoint.id,
        endpoint.url or "pulled",
        ", ".join(endpoint.event_types),
        endpoint.agent_id,
        wording.endpoint_status(endpoint),
        endpoint.description,
    )
