"""What keeps lanes from being taken up though there are slots: pauses, and caps on what is under way.

A lane that is kept back is *barred*: it is noted in its row, by which those who look for lanes do not see it, so that
ten thousand of them cost a claim nothing. The note only saves looking. What counts is asked when a lease is taken: by
who accepts, hands a lane on or claims, in its transaction. So a lane can be without the note for a while, until a claim
comes across it; and when what keeps lanes back is gone, the note is taken off those that it concerns.

- A pause concerns lanes whose head has not begun and is not to be cancelled. Who lifts it takes the notes off.
- A cap counts leases, over all replicas. Under a cap leases are taken by claims only, one claim after the other, and
  no lane is handed on. Who gives a lease back, or ends a run that waits, takes the note off one lane of that agent.
  Lanes of a tenant at its cap have no note: claims go past their tenant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, Protocol

from sendoff_server.store.batch.shares import Share, Wheel
from sendoff_server.store.items import Claim

BARRED_AT_ONCE = 1_000
"""Once so many lanes were barred in a transaction of a claim, another one goes on."""

LOOKED_AT = 200
"""Once a claim has come across a lane that it must bar, it looks at so many at a time: there may be more of them."""

AGENTS_AT_ONCE = 20
"""Of so many agents with barred lanes each claim looks whether they are still at their cap."""

OF_NO_AGENT, OF_NO_SHARE = 0, -1
"""In the row of a pause that is not for one agent, or for one share."""


class Bar(IntEnum):
    """The note in a lane's row."""

    NONE = 0
    PAUSED = 1
    AGENT_AT_CAP = 2


class TenantCaps(Protocol):
    """Caps of single tenants, which may change. Asked in any thread."""

    def runs_under_way(self, tenant: str) -> int:
        """0: as many as may be."""
        ...

    def limits_runs_under_way(self) -> bool:
        """Whether there is a tenant that has a cap."""
        ...


@dataclass(frozen=True, slots=True)
class Caps:
    """Most leases at a time, over all replicas; 0: as many as may be."""

    per_agent: int = 0
    per_tenant: int = 0
    tenants: TenantCaps | None = None
    """In place of `per_tenant`."""

    @property
    def any(self) -> bool:
        if self.tenants is not None and self.tenants.limits_runs_under_way():
            return True
        return bool(self.per_agent or self.per_tenant)

    def of_tenant(self, tenant: str) -> int:
        return self.per_tenant if self.tenants is None else self.tenants.runs_under_way(tenant)


NO_CAPS = Caps()


class Scope(NamedTuple):
    """What a pause is for, as its row has it."""

    tenant: str
    agent_no: int = OF_NO_AGENT
    share: int = OF_NO_SHARE


@dataclass(frozen=True, slots=True)
class Pauses:
    """All that there are."""

    scopes: frozenset[Scope] = frozenset()
    lifted: frozenset[Scope] = frozenset()
    """Those that count no more, but may have left notes in lanes."""

    def hold(self, tenant: str, agent_no: int, share: int) -> bool:
        """Whether one of them is for such a lane."""
        scopes = self.scopes
        return bool(scopes) and (
            Scope(tenant) in scopes or Scope(tenant, agent_no) in scopes or Scope(tenant, share=share) in scopes
        )


NO_PAUSES = Pauses()


def pauses_of(rows: Iterable[tuple[str, int, int, bool]]) -> Pauses:
    """From rows with tenant, number of the agent, share, and whether it is lifted."""
    every = [(Scope(tenant, agent_no, share), lifted) for tenant, agent_no, share, lifted in rows]
    return Pauses(
        frozenset(scope for scope, lifted in every if not lifted), frozenset(scope for scope, lifted in every if lifted)
    )


class Candidate(NamedTuple):
    """A lane without a holder."""

    no: int
    tenant: str
    share: int
    agent_no: int
    is_idle: bool | int
    """Its head has not begun and is not to be cancelled."""


@dataclass(slots=True)
class Dispatch:
    """What one replica hands lanes out by, and how far it has come."""

    caps: Caps = NO_CAPS
    wheel: Wheel = field(default_factory=Wheel)
    looked_at: int = 0
    """The last agent with barred lanes that was looked at."""


class Claimed(NamedTuple):
    """What one transaction of a claim has come to."""

    claims: Sequence[Claim]
    is_done: bool
    """No more can be had."""
    lifted: Sequence[Scope]
    """Pauses that are lifted and may have left notes."""


class Gate:
    """Says of one lane after the other whether it may be taken, in one claim."""

    def __init__(self, pauses: Pauses, caps: Caps, under_way: Iterable[tuple[str, int, int]]) -> None:
        """`under_way`: how many leases there are, by tenant and number of the agent; not looked at without caps."""
        self._pauses = pauses
        self._caps = caps
        self._of_agent: Counter[int] = Counter()
        self._of_tenant: Counter[str] = Counter()
        for tenant, agent_no, count in under_way:
            self._note(tenant, agent_no, count)
        self.barred: list[tuple[int, Bar]] = []
        """Numbers of lanes, and why they may not."""

    @property
    def full_tenants(self) -> list[str]:
        return [tenant for tenant in self._of_tenant if self._is_full(tenant)]

    def depths(self, wheel: Wheel, shares: Sequence[Share], room: int) -> list[int]:
        """How many lanes of each share to look at."""
        least = -(-LOOKED_AT // len(shares)) if self.barred else 0
        return [max(least, depth) for depth in wheel.depths(shares, room)]

    def may_take(self, lane: Candidate) -> bool:
        """If it may, it counts as taken."""
        if lane.is_idle and self._pauses.hold(lane.tenant, lane.agent_no, lane.share):
            self.barred.append((lane.no, Bar.PAUSED))
            return False
        if not self.room_of(lane.agent_no):
            self.barred.append((lane.no, Bar.AGENT_AT_CAP))
            return False
        if self._is_full(lane.tenant):
            return False
        self._note(lane.tenant, lane.agent_no, 1)
        return True

    def room_of(self, agent_no: int) -> int:
        """How many more lanes of an agent may be taken; many without a cap."""
        if not self._caps.per_agent:
            return BARRED_AT_ONCE
        return max(0, self._caps.per_agent - self._of_agent[agent_no])

    def _is_full(self, tenant: str) -> bool:
        most = self._caps.of_tenant(tenant)
        return bool(most) and self._of_tenant[tenant] >= most

    def _note(self, tenant: str, agent_no: int, count: int) -> None:
        self._of_tenant[tenant] += count
        self._of_agent[agent_no] += count
