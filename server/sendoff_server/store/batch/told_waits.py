"""What is told of what keeps a run waiting."""

from __future__ import annotations

from collections.abc import Sequence

from sendoff import v1
from sendoff_server.store.batch.dispatch import Caps
from sendoff_server.store.questions import AtCap, CapOf


def told_pause(body: bytes | None) -> v1.DispatchPause | None:
    return None if body is None else v1.DispatchPause.FromString(body)


def at_cap(caps: Caps, tenant: str, running: Sequence[int] | None) -> AtCap | None:
    """`running`: how many leases there are of the agent and of the tenant; None: the run waits for none."""
    if running is None:
        return None
    of_agent, of_tenant = running
    if caps.per_agent and of_agent >= caps.per_agent:
        return AtCap(CapOf.AGENT, of_agent, caps.per_agent)
    most = caps.of_tenant(tenant)
    if most and of_tenant >= most:
        return AtCap(CapOf.TENANT, of_tenant, most)
    return None
