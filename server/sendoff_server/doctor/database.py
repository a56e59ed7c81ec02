"""The database, and its clock beside this machine's."""

from __future__ import annotations

from collections.abc import Sequence

from sendoff_server.doctor import safety
from sendoff_server.doctor.findings import Finding, ok, problem, warning
from sendoff_server.settings import Settings
from sendoff_server.store.inspection import Inspection
from sendoff_server.store.port import EngineMissing
from sendoff_server.store_parts import inspect

_SURE_S = 1.0
"""Two machines that are kept in time differ by far less, and a busy one answers late."""


async def check(settings: Settings) -> Sequence[Finding]:
    try:
        found = await inspect(settings)
    except EngineMissing as missing:
        return [problem("database", str(missing), "install it")]
    faults = [(problem if fault.is_fatal else warning)("database", fault.told, fault.mend) for fault in found.faults]
    return [*(faults or [ok("database", found.told)]), *_clock(found), *safety.keys(settings, found.has_keys)]


def _clock(found: Inspection) -> Sequence[Finding]:
    ahead_s = found.clock_ahead_s
    if ahead_s is None:
        return []
    told = f"the database's clock is {abs(ahead_s):.2f} s {'ahead of' if ahead_s >= 0 else 'behind'} this machine's"
    if abs(ahead_s) <= _SURE_S:
        return [ok("clock", told)]
    mend = "run a time service on both: start times go by the database's clock, signatures of callbacks by this one"
    return [warning("clock", told, mend)]
