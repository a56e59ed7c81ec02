"""What a run waits for that has not started, in the words of the contract."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.store.questions import CapOf, Queued

AT_CAP = {CapOf.AGENT: "AGENT_AT_CAP", CapOf.TENANT: "TENANT_AT_CAP"}


def show_wait(run: v1.Run, queued: Queued, now_ns: int) -> None:
    """Have a CREATED run show why it has not started, and before when it does not."""
    wait = run.wait
    is_early = queued.start_ns is not None and queued.start_ns > now_ns
    if is_early and queued.start_ns is not None:
        wait.earliest_start_time.FromNanoseconds(queued.start_ns)
    if queued.blocking_run_id:
        run.phase = v1.RUN_PHASE_BLOCKED
        wait.reason, wait.blocking_run_id, wait.position = "CONVERSATION_BUSY", queued.blocking_run_id, queued.position
    elif is_early:
        run.phase = v1.RUN_PHASE_SCHEDULED
        wait.reason = "START_TIME"
    elif queued.paused_by:
        run.phase = v1.RUN_PHASE_BLOCKED
        wait.reason, wait.blocking_run_id, wait.position = "ACTION_PENDING", queued.paused_by, queued.position
    elif queued.pause is not None:
        run.phase, wait.reason = v1.RUN_PHASE_BLOCKED, "DISPATCH_PAUSED"
    elif queued.at_cap is not None:
        run.phase, wait.reason = v1.RUN_PHASE_BLOCKED, AT_CAP[queued.at_cap.of]
    else:
        wait.reason = "NO_SLOT"
