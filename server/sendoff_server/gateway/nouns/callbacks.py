"""What the receiver of a callback is told: Letta's body for a bare `callback_url`, an envelope for all else."""

from __future__ import annotations

import json
from typing import Any

from sendoff import v1
from sendoff_server.gateway.codec.writing import moment
from sendoff_server.gateway.nouns.results import result_json
from sendoff_server.gateway.nouns.runs import metadata_json, reason_word, run_json, status_word
from sendoff_server.store.questions import RUN_STARTED, Delivery
from sendoff_server.use_cases import UseCases

Json = dict[str, Any]


async def callback_body(use_cases: UseCases, delivery: Delivery) -> str:
    """The body of a delivery; the same whenever it is made, but for the run in one that tells of its start."""
    bare = delivery.endpoint is None and not delivery.run.callback.event_types
    told = await (_bare if bare else _envelope)(use_cases, delivery)
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


async def _bare(use_cases: UseCases, delivery: Delivery) -> Json:
    """A run that is completed brings its result; the reason of one that failed stands in its metadata."""
    run = delivery.run
    metadata = metadata_json(run)
    if run.status == v1.RUN_STATUS_COMPLETED:
        metadata["result"] = await result_json(use_cases, delivery.tenant, run, whole=True)
    return {
        "run_id": run.id,
        "status": status_word(run.status),
        "completed_at": moment(run.complete_time),
        "metadata": metadata,
    }


async def _envelope(use_cases: UseCases, delivery: Delivery) -> Json:
    run, endpoint = delivery.run, delivery.endpoint
    starts = delivery.kind == RUN_STARTED
    data: Json = {
        "run_id": run.id,
        "agent_id": run.agent_id,
        "conversation_id": run.conversation_id if run.HasField("conversation_id") else None,
        "status": status_word(v1.RUN_STATUS_RUNNING if starts else run.status),
        "stop_reason": None if starts or not run.HasField("stop_reason") else reason_word(run.stop_reason),
        "sequence": delivery.sequence,
    }
    if endpoint.told.include_run if endpoint is not None else run.callback.include_run:
        data["run"] = run_json(_without_attempts(run))
        if not starts and run.status == v1.RUN_STATUS_COMPLETED:
            data["result"] = await result_json(use_cases, delivery.tenant, run)
    happened = run.start_time if starts else run.complete_time
    return {"type": delivery.kind, "timestamp": moment(happened), "data": data}


def _without_attempts(run: v1.Run) -> v1.Run:
    """What an attempt at its own callback changes is left out, so that the next one tells the same."""
    told = v1.Run()
    told.CopyFrom(run)
    for name in ("last_attempt_time", "last_status_code", "last_error"):
        told.callback.ClearField(name)
    return told
