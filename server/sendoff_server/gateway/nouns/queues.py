"""What keeps a run, as the door shows it: in the contract's names, with the run as everywhere at this door."""

from __future__ import annotations

from typing import Any

from sendoff import v1
from sendoff_server.gateway.codec.shapes import enum_words
from sendoff_server.gateway.codec.writing import written
from sendoff_server.gateway.nouns.runs import run_json

PHASES = {number: word for word, number in enum_words(v1.RunPhase.DESCRIPTOR).items()}


def explanation_json(told: v1.ExplainRunResponse) -> dict[str, Any]:
    """With the run's phase and wait, which the API's run does not tell."""
    run = told.run
    return {
        **written(told),
        "run": run_json(run),
        "phase": PHASES.get(run.phase),
        "wait": written(run.wait) if run.HasField("wait") else None,
    }
