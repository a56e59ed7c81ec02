"""What the receiver of a callback is told: that a run has ended, and what it came to."""

from __future__ import annotations

import json
from typing import Any

from sendoff import v1
from sendoff_server.gateway.codec.writing import moment
from sendoff_server.gateway.nouns.results import result_json
from sendoff_server.gateway.nouns.runs import metadata_json, status_word
from sendoff_server.use_cases import UseCases

Json = dict[str, Any]


async def callback_body(use_cases: UseCases, run: v1.Run) -> str:
    """The body of the callback of a run that has ended; the same whenever it is made, because nothing changes then.

    A run that is completed brings its result; the reason of one that failed stands in its metadata.
    """
    metadata = metadata_json(run)
    if run.status == v1.RUN_STATUS_COMPLETED:
        metadata["result"] = await result_json(use_cases, run, whole=True)
    told: Json = {
        "run_id": run.id,
        "status": status_word(run.status),
        "completed_at": moment(run.complete_time),
        "metadata": metadata,
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))
