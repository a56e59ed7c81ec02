"""What is asked of the replicas: requests of every kind, and what is known of them outside."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from sendoff import v1
from tests.chaos.outside import CHARGE, NOTE, RISKY
from tests.faults.caller import request, script, seconds

JOB, LAST = "job-", "last-"
"""How the keys of requests begin: of the load, and of the last ones, one for each conversation."""
CLIENT_TOOL = "mine"
FROM_OUTSIDE = "from outside"
_ACTION_TIMEOUT_S = 3.0


class Kind(Enum):
    """What a run does, and what is done to it. The number is how many of a hundred are such."""

    TEXT = "answers", 30
    LONG = "answers at length", 18
    CHARGE = "calls a tool that may run once", 14
    NOTE = "calls a tool that may run again", 12
    RISKY = "calls a tool that needs an approval", 8
    CLIENT = "calls a tool of its caller", 6
    EXPIRES = "calls a tool of its caller, who never answers", 4
    CANCELLED = "is cancelled", 8

    def __init__(self, told: str, share: int) -> None:
        self.told = told
        self.share = share


STOPS = (Kind.RISKY, Kind.CLIENT, Kind.EXPIRES)
"""Their runs end with something pending, and others go on with them."""
_TOOLS = {
    Kind.CHARGE: CHARGE,
    Kind.NOTE: NOTE,
    Kind.RISKY: RISKY,
    Kind.CLIENT: CLIENT_TOOL,
    Kind.EXPIRES: CLIENT_TOOL,
}


@dataclass(slots=True)
class Job:
    """One request, and what became of it as its caller sees it."""

    key: str
    kind: Kind
    lane: str
    """The id of its conversation, or of the agent whose default one it is."""
    request: v1.CreateMessageAsyncRequest
    answer: str
    begun_s: float = 0.0
    """When it was first sent, by the driver's stopwatch."""
    acknowledged_s: float = 0.0
    accepted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with `run_id`."""
    run_id: str = ""
    cancel_reply: v1.Run | None = None
    """What was said to the cancel."""
    cancelled_s: float = 0.0
    """When, by the clock of the system."""
    given: list[v1.ActionDecision] = field(default_factory=list)
    """What was answered to what it waited for, and acknowledged."""

    @property
    def approves(self) -> bool:
        """Whether its call gets the approval that it needs."""
        return hash_of(self.key) % 4 != 0

    @property
    def text(self) -> str:
        return self.request.input.text


def hash_of(key: str) -> int:
    """The same in each process."""
    return sum(key.encode())


def make_jobs(count: int, lanes: Sequence[tuple[str, str | None]], hook: str, chance: random.Random) -> list[Job]:
    """Spread over conversations, each told as an agent and its id; a third of them call back to `hook`."""
    kinds = chance.choices(list(Kind), [kind.share for kind in Kind], k=count)
    return [_job(f"{JOB}{number}", kind, chance.choice(lanes), hook, chance) for number, kind in enumerate(kinds)]


def _job(key: str, kind: Kind, lane: tuple[str, str | None], hook: str, chance: random.Random) -> Job:
    agent_id, conversation_id = lane
    answer = f"{key} " + "word " * chance.randint(1, 12)
    fields: dict[str, Any] = {"request_id": key, "conversation_id": conversation_id}
    if chance.random() < 0.8:
        fields["scheduling"] = v1.Scheduling(when_pending=v1.WHEN_PENDING_ENQUEUE)
    if chance.random() < 0.33:
        fields["callback_url"] = hook
    if kind in (Kind.CLIENT, Kind.EXPIRES):
        fields["client_tools"] = [v1.ClientTool(name=CLIENT_TOOL)]
    if kind is Kind.EXPIRES:
        fields["limits"] = v1.Limits(action_timeout=seconds(_ACTION_TIMEOUT_S))
    sent = request(agent_id, _script(key, kind, answer, chance), **fields)
    return Job(key, kind, conversation_id or agent_id, sent, answer)


def _script(key: str, kind: Kind, answer: str, chance: random.Random) -> str:
    """Some answers come at once, some take their time, so that faults meet them half-written."""
    pace = {"delay_ms": chance.choice((0, 0, 10, 30)), "first_delay_ms": chance.choice((0, 10, 100))}
    if tool := _TOOLS.get(kind):
        call = {"name": tool, "arguments": {"job": key}}
        return script(steps=[{"text": "Let me see.", "tool_calls": [call], **pace}, {"text": answer, **pace}])
    if kind is not Kind.TEXT:
        pace = {"delay_ms": chance.choice((100, 300, 700)), "first_delay_ms": 10}
    return script(text=answer, **pace)
