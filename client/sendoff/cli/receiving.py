"""`sendoff callbacks receive`."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from sendoff import v1
from sendoff.cli import output, wording
from sendoff.cli.ids import EndpointId
from sendoff.cli.options import span_s
from sendoff.cli.session import Json, session
from sendoff.receiving import DEFAULT_UNACKED, Received, ReceiveOptions


def receive(
    context: typer.Context,
    endpoint_id: EndpointId,
    count: Annotated[int | None, typer.Option(help="End after so many deliveries.", min=1)] = None,
    ack_timeout: Annotated[
        str | None, typer.Option(help="What was not printed after that time comes again, as 90s; unset: 60s.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Take the deliveries of an endpoint that was made with --pull: each is printed, then acknowledged.

    Several that run at once share the deliveries. Goes on until Ctrl-C, or --count.
    """
    options: ReceiveOptions = {"max_unacked": min(count or DEFAULT_UNACKED, DEFAULT_UNACKED)}
    if ack_timeout is not None:
        options["ack_timeout_s"] = span_s("--ack-timeout", ack_timeout)
    with session(context).client() as client, closing(client.receive_deliveries(endpoint_id, **options)) as deliveries:
        for number, received in enumerate(deliveries, start=1):
            _show(received, as_json=as_json)
            received.ack()
            if number == count:
                break


def _show(received: Received, *, as_json: bool) -> None:
    """On stdout, and written when this returns."""
    if as_json:
        output.line(v1.ReceiveDeliveriesResponse(delivery=received.delivery, run=received.run))
        return
    delivery, run = received.delivery, received.run
    told = (wording.moment(delivery.create_time), delivery.event_type, run.id, _standing(delivery, run), delivery.id)
    output.write("  ".join(output.one_line(each) for each in told) + "\n")


def _standing(delivery: v1.Delivery, run: v1.Run) -> str:
    """How the run stood at the event that is told."""
    if delivery.event_type == "run.started":
        return wording.status(v1.RunStatus.RUN_STATUS_RUNNING)
    reason = wording.stop_reason(run)
    return f"{wording.status(run.status)} ({reason})" if reason else wording.status(run.status)
