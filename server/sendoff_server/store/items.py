"""What is written: the items of a batch, and what becomes of each.

Words and times are those of `store/port.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from sendoff import v1


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key. Unique per (tenant, scope, value) for as long as its run is kept."""

    scope: str
    """"request" for request_id and idempotency keys, "otid:<lane>" for OTIDs."""
    value: str


class LeftOut(IntEnum):
    """Which entries of a run are not shown to models any more. Those in front of INPUT_PLACE, which settle calls of
    runs before it, always are."""

    NOTHING = 0
    CONTEXT = 1
    """All others; they are still listed."""
    CONVERSATION = 2
    """All others, and only the run itself lists them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """A cancel that was asked for."""

    reason: str
    superseded: bool = False
    """A newer message takes the run's place: it ends with SUPERSEDED."""
    rollback: bool = False
    """Its messages leave the conversation (LeftOut.CONVERSATION)."""


class WhenPending(IntEnum):
    """What a run does while its conversation waits for answers to pending actions."""

    GO_ON = 0
    """It executes; its executor settles what is pending first."""
    WAIT = 1
    """It is not claimed, and its lane with it, until nothing is pending."""


@dataclass(frozen=True, slots=True)
class NoteAct:
    """Write an entry of the audit, or write it over with what is known of it now; it keeps the time of the first."""

    tenant: str
    entry: v1.AuditEntry
    """Without create_time."""


@dataclass(frozen=True, slots=True)
class ActNoted:
    """Written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """Write a new run, its keys and event 1, and put it at the end of its lane, or behind the run that it continues."""

    tenant: str
    lane: str
    run: v1.Run
    """CREATED, with last_sequence 1."""
    request: bytes
    """The CreateMessageAsyncRequest, for whoever executes the run."""
    event: v1.RunEvent
    keys: Sequence[Key]
    fingerprint: bytes
    """Digest of the request without its keys; tells a repeat from a mismatch."""
    lease: bool
    """Take the lane's lease for this replica if nobody has it."""
    reject_if_busy: bool
    max_open: int
    """Most runs of the lane that have not ended, this one included."""
    continues: str = ""
    """The run whose pending actions it answers, and must still be those that the lane waits for: else NothingPending.
    Its place is right behind that run, whose `continued_by_run_id` names it from now on. It neither waits nor is it
    refused as Busy, Full or Pending, because what stands in its way may be waiting for it."""
    answered_before: int = 0
    """With `continues`: how many of the actions had an answer when the caller looked. If that has changed:
    NothingPending."""
    cancel: Cancel | None = None
    """It is accepted with this cancel asked for, as if MarkCancel had followed at once."""
    when_pending: WhenPending = WhenPending.GO_ON
    reject_if_pending: bool = False
    """Refuse it while the lane waits for answers. A lane with a run at work that is going to settle what is pending
    does not."""
    supersedes: Cancel | None = None
    """Mark every run of the lane that has not ended with this cancel, as MarkCancel does. One that is still CREATED is
    ended by who claims it; for one that WAITs the waiting is over with that."""
    start_ns: int | None = None
    """It is not started before, and no later run of its lane is. None: at once."""
    priority: int = 3
    """1 to 5. Once it is the head, its lane is taken before others of its share that began to wait up to a minute
    earlier for each number between the two."""
    share: int = 0
    """Whom it shares slots as. Claims go from share to share, whatever waits in each."""
    start_before_ns: int | None = None
    """If it has not been started by then, `overdue_runs` tells it."""
    repeats_since_ns: int | None = None
    """Its caller says that it may have come before, since then. The newest run of the lane with this fingerprint that
    was accepted since is the same request: Repeated. Looked at only when it has no keys."""
    act: NoteAct | None = None
    """Written with the run, if it is Placed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A run that this replica is to execute now, because it holds the lease of its lane."""

    tenant: str
    lane: str
    seq: int
    """Place of the run in its lane; smaller ones were accepted earlier."""
    run: v1.Run
    """As stored. CREATED, or RUNNING when a process that is gone had started it."""
    request: bytes
    cancel_wanted: Cancel | None = None
    """A cancel that was asked for and not carried out."""
    paused_by: str = ""
    """The run whose pending actions the lane waits for; this run is to settle them. Empty: nothing is pending."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Accepted."""

    run: v1.Run
    claim: Claim | None
    """Set when the lease was taken and the run is the head."""
    continued: v1.Run | None = None
    """The run that it continues, as it is from now on."""
    superseded: Sequence[str] = ()
    """The runs that were marked with the cancel: those that had not ended and had no mark, in their order."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """All keys belong to this run and the fingerprint is the same, or it is a repeat by `repeats_since_ns`: the same
    request. Nothing was written."""

    run: v1.Run
    """As stored."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """As Repeated, but that run was deleted. Nothing was written."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Mismatched:
    """A key belongs to another request. Nothing was written."""

    key: Key
    run_id: str


@dataclass(frozen=True, slots=True)
class Busy:
    """`reject_if_busy`, and this run of the lane has not ended. Nothing was written."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Full:
    """The lane holds `max_open` runs. Nothing was written."""


@dataclass(frozen=True, slots=True)
class LaneMissing:
    """No such lane: its agent was deleted, or never was. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Pending:
    """`reject_if_pending`, and the lane waits for the actions of this run. Nothing was written."""

    run_id: str


@dataclass(frozen=True, slots=True)
class NothingPending:
    """What was to be answered is not pending, or not any more. Nothing was written."""


Accepted = Placed | Repeated | Deleted | Mismatched | Busy | Full | LaneMissing | Pending | NothingPending


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One step forward of a run: its new state, and what it adds to log and conversation.

    One by which a run starts or ends puts a delivery into the outbox for each endpoint of the tenant that wants it, due
    at once, or given up at once if the endpoint is disabled; and one for its `callback.url`, if that wants it (with no
    `callback.event_types`: the end), which at the end is due at `callback.next_attempt_time`. A run starts as it turns
    RUNNING for the first time.
    """

    lane: str
    run: v1.Run
    """As it is from now on. `last_sequence` is the sequence of the last of `events`."""
    after_sequence: int
    """The run's last_sequence before. If the stored one differs, or the run has ended, nothing is written: Outdated."""
    events: Sequence[v1.RunEvent]
    messages: Sequence[v1.Message] = ()
    """With position set."""
    step: v1.Step | None = None
    """Written or, if its index is known, written over."""
    holds_lease: bool = True
    """False: a queued run is ended from outside, the lease of its lane is nobody's business here."""
    keep_lease: bool = True
    """If the run ends and its lane has a next run, go on with that; False gives the lane back to the tail of those that
    wait."""
    opens: Sequence[v1.PendingAction] = ()
    """With the run's end: what the lane waits for from now on. They have an expire_time. The run shows them too, as
    `pending_actions`, which is up to whoever made it. Poisoned if the lane waits for others that this does not
    settle."""
    settles: bool = False
    """What the lane waited for is settled with this: nothing is pending any more, and the run that had stopped for it
    shows this one as `continued_by_run_id` and no pending actions. Changes nothing if nothing is pending."""
    left_out: LeftOut = LeftOut.NOTHING
    """With the run's end."""
    tenant: str = ""
    """Whose run it is, for whoever looks on; nothing is written of it. Empty: not told."""
    act: NoteAct | None = None
    """Written with the rest, if it is Recorded."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Written."""

    next: Claim | None
    """If the run ended and the lease was kept: the lane's next run, now to be executed."""
    continued: v1.Run | None = None
    """With `settles`: the run that had stopped, as it is from now on."""


@dataclass(frozen=True, slots=True)
class Outdated:
    """The run has moved on without us. Nothing was written."""

    run: v1.Run | None
    """As stored; None if it was deleted."""


@dataclass(frozen=True, slots=True)
class MarkCancel:
    """Note durably that a run is to be cancelled, for whoever executes it now or after a crash. The first cancel of a
    run is the one that counts."""

    tenant: str
    run_id: str
    cancel: Cancel
    act: NoteAct | None = None
    """Written with the mark, if this is the cancel that counts."""


@dataclass(frozen=True, slots=True)
class Marked:
    """What became of a MarkCancel."""

    run: v1.Run | None
    """As stored; ended runs are not marked. None: no such run of that tenant."""


@dataclass(frozen=True, slots=True)
class Release:
    """Let go of a lane's lease without ending a run: go on with its head (as it is now), or give it back."""

    lane: str
    keep_lease: bool


@dataclass(frozen=True, slots=True)
class Released:
    next: Claim | None


@dataclass(frozen=True, slots=True)
class NoteAnswers:
    """Write down answers to some of a lane's pending actions, while others have none yet. NothingPending if the lane
    does not wait for these, or a run is at work on it."""

    lane: str
    run_id: str
    """Whose actions they are."""
    actions: Sequence[v1.PendingAction]
    """All of them, in their order, as they are from now on. They are shown by the run as well."""
    answered_before: int
    """How many had an answer when the caller looked. If that has changed: NothingPending, look again."""
    act: NoteAct | None = None
    """Written with the answers, if they are Noted."""


@dataclass(frozen=True, slots=True)
class Noted:
    run: v1.Run
    """The run, which shows the answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteAttempt:
    """Write down what came of an attempt at a delivery that this replica holds, and let go of it. An attempt at the
    run's own callback of its end is shown by the run, as `callback`; nothing else of the run changes, and its log does
    not."""

    delivery_id: str
    attempt: v1.DeliveryAttempt | None
    """Delivered if its `error` is empty. None: there was no attempt. Then it is given up, and `error` says why; or,
    with `next_attempt_ns`, it is only put back."""
    error: str = ""
    next_attempt_ns: int | None = None
    """After one that failed, or none: when it is to be tried again; None: it is given up."""
    disables: str = ""
    """Why its endpoint is disabled with this; empty: it is not."""
    url: str = ""
    """With `disables`: where it was tried. An endpoint that has another URL by now is not disabled."""
    since_ns: int = 0
    """When it came into the outbox, for whoever looks on; nothing is written of it. 0: not told."""


@dataclass(frozen=True, slots=True)
class AttemptNoted:
    held: bool
    """False: this replica does not hold the delivery, or it was deleted with its run. Nothing was written."""
    run: v1.Run | None = None
    """The run, if it shows the attempt."""


Item = Accept | Progress | MarkCancel | Release | NoteAnswers | NoteAttempt | NoteAct
Result = Accepted | Recorded | Outdated | Marked | Released | Noted | AttemptNoted | ActNoted
