"""Streams of runs: the frames of a watch, told until the run's end, whatever happens to the watch on the way."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from sendoff import v1
from sendoff_server.access.principal import acting
from sendoff_server.errors import ServiceError
from sendoff_server.gateway.streams.telling import Telling, Told, Wanted
from sendoff_server.use_cases import UseCases

PING_S = 20
"""After so long without anything a ping is told, and again and again."""
SILENCE_S = 1_800
"""After so long with nothing but pings a stream is cut, to be resumed by whoever still cares."""
_PAGE = 1_000
_CUTS = {
    v1.StreamEnd.REASON_SERVER_DRAINING: ("SERVER_DRAINING", "the server is stopping; resume the stream"),
    v1.StreamEnd.REASON_OVERLOADED: ("OVERLOADED", "the server needs its memory; resume the stream, a little later"),
}
"""Ends of a watch that are told as the end of the stream, because the next watch would end as well."""

_log = structlog.get_logger(__name__)


async def told(use_cases: UseCases, run: v1.Run, wanted: Wanted) -> AsyncGenerator[Told]:
    """The events of a run from its beginning to its end, as they happen. Closing the generator leaves the run alone.

    Never raises: once a stream has begun its caller can only be told of a failure in it.
    """
    telling = Telling(run, wanted)
    try:
        async with aclosing(_followed(use_cases, run, wanted, telling)) as events:
            async for event in events:
                yield event
    except ServiceError as error:
        yield telling.failed("internal_error", v1.RunError(reason=error.reason, message=error.message))
    except Exception:
        _log.exception("a stream failed unexpectedly", run_id=run.id)
        yield _cut(telling, "INTERNAL", "the stream broke off, the run did not; resume it")


async def _followed(use_cases: UseCases, run: v1.Run, wanted: Wanted, telling: Telling) -> AsyncGenerator[Told]:
    watch = v1.WatchRunRequest(run_id=run.id, after_sequence=0, include_deltas=wanted.pieces)
    watch.heartbeat_interval.seconds = PING_S
    knows_earlier, heartbeats = False, 0
    while not telling.ended:
        async with aclosing(use_cases.runs.watch(acting().tenant, watch, through_drain=True)) as frames:
            async for frame in frames:
                if not knows_earlier and frame.event.message.HasField("tool_return_message"):
                    knows_earlier = True
                    await _learn_earlier(use_cases, run.id, telling)
                heartbeats = heartbeats + 1 if frame.HasField("heartbeat") else heartbeats * frame.HasField("end")
                if heartbeats * PING_S >= SILENCE_S:
                    yield _cut(telling, "SILENT", f"nothing came for {SILENCE_S} s; resume the stream")
                    return
                for event in telling.frame(frame):
                    yield event
                if frame.HasField("end"):
                    watch.after_sequence = frame.end.resume_after_sequence
                    if frame.end.reason in _CUTS and not telling.ended:
                        yield _cut(telling, *_CUTS[frame.end.reason])
                        return


def _cut(telling: Telling, reason: str, message: str) -> Told:
    return telling.failed("stream_incomplete", v1.RunError(reason=reason, message=message))


async def _learn_earlier(use_cases: UseCases, run_id: str, telling: Telling) -> None:
    """Have it know the calls whose returns come in this run, if they were made in another one."""
    run = await use_cases.runs.get(acting().tenant, v1.GetRunRequest(run_id=run_id))
    wanted = v1.ListRunEventsRequest(run_id=run.continues_run_id, page_size=_PAGE)
    complete = not run.continues_run_id
    while not complete:
        page = await use_cases.runs.list_events(acting().tenant, wanted)
        for event in page.events:
            if event.HasField("message"):
                telling.earlier(event.message)
        complete = page.complete or not page.events
        wanted.after_sequence = 0 if complete else page.events[-1].sequence


async def ended(use_cases: UseCases, run: v1.Run) -> v1.Run | None:
    """The run once it has ended; None if the server stops before."""
    watch = v1.WatchRunRequest(run_id=run.id, after_sequence=run.last_sequence)
    while True:
        watching = use_cases.runs.watch(acting().tenant, watch, through_drain=True, through_need=True)
        async with aclosing(watching) as frames:
            async for frame in frames:
                if frame.event.HasField("finished"):
                    return frame.event.finished.run
                match frame.end.reason:
                    case v1.StreamEnd.REASON_SERVER_DRAINING:
                        return None
                    case v1.StreamEnd.REASON_RUN_FINISHED:
                        return await use_cases.runs.get(acting().tenant, v1.GetRunRequest(run_id=run.id))
                    case _:
                        watch.after_sequence = max(watch.after_sequence, frame.end.resume_after_sequence)
