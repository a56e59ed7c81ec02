"""Why a run has not started, in the words of the contract: of several reasons the first that holds."""

from __future__ import annotations

import pytest

from sendoff import v1
from sendoff_server.runs.waiting import show_wait
from sendoff_server.store.questions import AtCap, CapOf, Queued

NOW_NS, LATER_NS = 1_000, 2_000
PAUSE = v1.DispatchPause(agent_id="agent-1")
AGENT, TENANT = AtCap(CapOf.AGENT, 3, 3), AtCap(CapOf.TENANT, 9, 9)


def shown(queued: Queued) -> v1.Run:
    run = v1.Run(phase=v1.RUN_PHASE_QUEUED)
    show_wait(run, queued, NOW_NS)
    return run


@pytest.mark.parametrize(
    ("queued", "reason", "phase"),
    [
        (Queued(1, "run-1"), "CONVERSATION_BUSY", v1.RUN_PHASE_BLOCKED),
        (Queued(0, None, "run-1", LATER_NS, PAUSE, AGENT), "START_TIME", v1.RUN_PHASE_SCHEDULED),
        (Queued(0, None, "run-1", NOW_NS, PAUSE, AGENT), "ACTION_PENDING", v1.RUN_PHASE_BLOCKED),
        (Queued(0, None, pause=PAUSE, at_cap=AGENT), "DISPATCH_PAUSED", v1.RUN_PHASE_BLOCKED),
        (Queued(0, None, at_cap=AGENT), "AGENT_AT_CAP", v1.RUN_PHASE_BLOCKED),
        (Queued(0, None, at_cap=TENANT), "TENANT_AT_CAP", v1.RUN_PHASE_BLOCKED),
        (Queued(0, None), "NO_SLOT", v1.RUN_PHASE_QUEUED),
    ],
)
def test_a_run_shows_the_first_reason_that_holds(queued: Queued, reason: str, phase: v1.RunPhase.ValueType) -> None:
    run = shown(queued)
    assert (run.wait.reason, run.phase) == (reason, phase)
    assert run.wait.HasField("earliest_start_time") == (reason == "START_TIME")
