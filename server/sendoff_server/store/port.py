"""What a store engine does: few verbs, each of which works on a whole batch.

SQLite and PostgreSQL implement `Store`; `tests/contract/` holds every engine to this page. Above the port and shared by
all engines are the group commit (`store/group_commit.py`), the scheduler and the watch hub.

Words: a *lane* is the row of a conversation that is lock, queue head and lease in one. Its id is the conversation's id,
or the agent's id for the agent's default conversation. Its *head* is its oldest run that has not ended. Who holds the
lease of a lane executes its head; nobody else does.

Times are nanoseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from types import TracebackType
from typing import Literal, NamedTuple, Protocol, Self
from urllib.parse import urlsplit

from sendoff import v1

DEFAULT_TENANT = "default"
"""Owner of everything until keys exist."""

POSITION_SHIFT = 20
"""`Message.position` is the run's place in its lane shifted left by this, plus a number inside the run."""

TURN_SHIFT = 10
"""A run's place in its lane is the number of its turn, in order of acceptance, shifted left by this, plus its place in
the turn: a run that continues another one comes right behind it, in front of all that was accepted meanwhile."""

INPUT_PLACE = 8
"""Places inside a run below this one are for what settles calls of runs before it; its input begins here."""


class StoreFailed(Exception):
    """The database did not do it: disk full, locked, connection lost. Nothing of the batch is written; the same batch
    may be tried again."""


class Fenced(Exception):
    """This replica was declared dead. Nothing was written, and nothing of it ever will be: stop the process."""


class NewerSchema(Exception):
    """The database was written by a newer version of this program, which must not be undone."""


class StoreInUse(Exception):
    """Another process has the database, and this engine serves one process only."""


class Poisoned(Exception):
    """This one item can not be written, whatever else is in the batch; the other items were."""


# ---- items of a batch, and what becomes of them ----


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
    start_before_ns: int | None = None
    """If it has not been started by then, `overdue_runs` tells it."""
    repeats_since_ns: int | None = None
    """Its caller says that it may have come before, since then. The newest run of the lane with this fingerprint that
    was accepted since is the same request: Repeated. Looked at only when it has no keys."""


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

    One that ends a run with `callback.url` puts the delivery into the outbox, due at `callback.next_attempt_time`.
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


@dataclass(frozen=True, slots=True)
class Noted:
    run: v1.Run
    """The run, which shows the answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteAttempt:
    """Write down what came of an attempt at a delivery that this replica holds, and let go of it. The run shows it, as
    `callback`; nothing else of the run changes, and its log does not."""

    delivery_id: str
    attempt_ns: int
    """When it was begun."""
    status_code: int | None = None
    """Of the receiver's answer; None for no answer."""
    error: str = ""
    """What went wrong; empty if it is delivered."""
    next_attempt_ns: int | None = None
    """When it is to be tried again; None: not any more. With `error` that means that it is given up."""


@dataclass(frozen=True, slots=True)
class AttemptNoted:
    run: v1.Run | None
    """The run, which shows the attempt. None: this replica does not hold the delivery, or it was deleted with its run.
    Nothing was written."""


Item = Accept | Progress | MarkCancel | Release | NoteAnswers | NoteAttempt
Result = Accepted | Recorded | Outdated | Marked | Released | Noted | AttemptNoted


# ---- questions ----


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """Which runs. What is None or empty does not matter."""

    tenant: str
    agent_id: str | None = None
    agent_ids: Sequence[str] = ()
    """Runs of one of these agents."""
    lane: str | None = None
    statuses: Sequence[v1.RunStatus.ValueType] = ()
    stop_reasons: Sequence[v1.StopReason.ValueType] = ()
    background: bool | None = None
    active: bool | None = None
    key: Key | None = None
    otid: str | None = None
    """The value of an OTID key, in any lane."""
    newest_first: bool = True
    after: tuple[int, str] | None = None
    """(create_time_ns, id) of the last run seen: only those that follow it in the order asked for."""
    limit: int = 50


@dataclass(frozen=True, slots=True)
class ActionSet:
    """The newest actions of a lane. Older ones are forgotten."""

    run_id: str
    """The run that stopped for them."""
    actions: Sequence[v1.PendingAction]
    """In the order of the calls."""
    answered_by: str
    """The newest run that was accepted to continue, or that settled them; empty for none. If it has ended and they are
    not settled, it was cancelled in the queue, and they wait for answers again."""
    settled: bool
    """Nothing is pending any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionQuery:
    """Which pending actions. What is None does not matter."""

    tenant: str
    agent_id: str | None = None
    lane: str | None = None
    run_id: str | None = None
    kind: v1.ActionKind.ValueType | None = None
    after: tuple[int, str] | None = None
    """(expire_time in ns, cursor) of the last one seen, the cursor as `list_actions` gave it."""
    limit: int = 50


class ConversationOrder(Enum):
    """By which time conversations are listed."""

    CREATED = "create_time"
    LAST_MESSAGE = "last_message_time"
    """When a message was last written to it, be it LeftOut by now."""
    LAST_RUN = "last_run_time"
    """When a run of it last ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationQuery:
    """Which conversations. What is None or empty does not matter."""

    tenant: str
    agent_id: str | None = None
    archived: bool | None = None
    hidden: bool | None = None
    search: str = ""
    """What their summary holds, in capitals or not."""
    order: ConversationOrder = ConversationOrder.CREATED
    newest_first: bool = True
    """Those without that time are the oldest."""
    after: tuple[int, str] | None = None
    """Cursor of the last conversation seen: only those that follow it in the order asked for."""
    limit: int = 50


@dataclass(frozen=True, slots=True)
class ConversationPage:
    """Some of the conversations that were asked for."""

    found: Sequence[tuple[v1.Conversation, tuple[int, str]]]
    """Each with its cursor."""
    goes_on_after: tuple[int, str] | None
    """Where to look for more, though there may be none; None if these were the last."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A message, as lists have it."""

    place: int
    """Where it stands in the list that was asked for; the entries of one message have one place."""
    entries: Sequence[v1.Message]
    """All of that id, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageScope:
    """Which list of messages: that of a run, of a lane, of an agent over all its lanes, or of the tenant; the first of
    these that is told.

    Places are, in a run, places inside it; in a lane positions of first entries; else numbers that grow with the
    order in which messages were written, so that none ever comes in front of one that was listed before.
    """

    tenant: str
    run_id: str | None = None
    lane: str | None = None
    agent_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageQuery:
    """Which messages of a list. What is None or empty does not matter."""

    of: MessageScope
    types: Sequence[v1.MessageType.ValueType] = ()
    """Messages that have an entry of one of these types; all their entries are told."""
    newer_than: int | None = None
    """A place."""
    older_than: int | None = None
    newest_first: bool = True
    limit: int = 50


StepPlace = tuple[int, int]
"""Where a step stands among all: its start_time in ns, and a number that tells steps of one moment apart, in the order
of their run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepQuery:
    """Which steps. What is None or empty does not matter."""

    tenant: str
    run_id: str | None = None
    """Then they stand by index, whatever their times."""
    agent_id: str | None = None
    model: str | None = None
    """A handle, or the part of one behind the provider."""
    trace_ids: Sequence[str] = ()
    tags: Sequence[str] = ()
    """Steps with one of them."""
    feedback: v1.StepFeedback.ValueType | None = None
    has_feedback: bool | None = None
    started_from_ns: int | None = None
    started_until_ns: int | None = None
    newest_first: bool = True
    after: StepPlace | None = None
    """Only those that follow it in the order asked for."""
    before: StepPlace | None = None
    limit: int = 50


class RunDeletion(Enum):
    """What became of a wish to delete a run."""

    DELETED = "deleted"
    MISSING = "missing"
    """No such run of that tenant."""
    UNFINISHED = "unfinished"
    """It has not ended. Nothing was written."""
    AWAITED = "awaited"
    """Its lane waits for answers to its actions. Nothing was written."""


class BlockChange(Enum):
    """What became of a change of a block."""

    CHANGED = "changed"
    MOVED_ON = "moved on"
    """Its etag is another one by now, or it is gone. Nothing was written."""
    KNOWN = "known"
    """A change of that name was written before. Nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentQuery:
    """Which agents, and in which order."""

    tenant: str
    filter: v1.AgentFilter = field(default_factory=v1.AgentFilter)
    order: Literal["create_time", "update_time", "last_run_time"] = "create_time"
    newest_first: bool = True
    after: tuple[int, str] | None = None
    """What the order goes by, in nanoseconds, and the id of the last agent seen. A run that has not been is at 0."""
    limit: int


class ListedAgent(NamedTuple):
    agent: v1.Agent
    last_run: v1.LastRun | None
    """The last of its runs to end; None before there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagQuery:
    """Which tags."""

    tenant: str
    search: str = ""
    """Those that have this in them, in whatever case."""
    backwards: bool = False
    after: str | None = None
    """The last tag seen, which need not be there any more."""
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockQuery:
    """Which blocks, by time of creation. What is None or empty does not matter; what is searched for is in the text, in
    whatever case."""

    tenant: str
    label: str | None = None
    label_search: str = ""
    value_search: str = ""
    description_search: str = ""
    tags: Sequence[str] = ()
    """Blocks with one of them, or with all of them."""
    match_all_tags: bool = False
    newest_first: bool = True
    after: tuple[int, str] | None = None
    """(create_time_ns, id) of the last block seen."""
    limit: int


@dataclass(frozen=True, slots=True)
class Fork:
    """History that a new conversation begins with: the messages of the runs of a lane that have ended."""

    lane: str
    last_position: int | None
    """The last one that is part of it; None for all."""


@dataclass(frozen=True, slots=True)
class Queued:
    """Where a CREATED run stands in its lane."""

    position: int
    """How many runs are in front of it."""
    blocking_run_id: str | None
    """The lane's head; None if it is the head itself."""
    paused_by: str = ""
    """The run whose pending actions the lane's head waits for; empty if it does not wait."""


@dataclass(frozen=True, slots=True)
class History:
    """What a lane holds for the model."""

    messages: Sequence[v1.Message]
    """Oldest first."""
    is_whole: bool
    """False: there are older ones, up to the newest compaction or the lane's beginning, that did not fit."""
    compaction: v1.Message | None = None
    """Of the messages the newest that has `context_start`."""
    is_plain: bool = False
    """True: no message refers to a stored picture. False: nobody has looked, or one does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A callback that is due, held by this replica until NoteAttempt."""

    id: str
    """The same at every attempt."""
    tenant: str
    kind: str
    """"run.action_required" for a run that opened actions, else "run.finished"."""
    run: v1.Run
    """As stored; it has ended."""
    url: str
    receiver: str
    """`receiver_of(url)`."""
    create_ns: int
    """When it was put into the outbox."""
    attempts: int
    """How many were noted."""


def receiver_of(url: str) -> str:
    """Whose deliveries share a limit: host and port of an absolute URL."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or {'http': 80, 'https': 443}[parts.scheme.lower()]}"


class Store(Protocol):
    """One engine, opened by one replica.

    Entered as an async context manager: creates or migrates the schema, registers this replica, and on leaving gives
    its leases back. Raises NewerSchema, StoreInUse on entering. All verbs may be called concurrently; verbs that write
    raise Fenced, all raise StoreFailed.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def replica_id(self) -> str:
        """New at every start."""
        ...

    @property
    def is_alone(self) -> bool:
        """Whether no other process writes here, so that what this one read and wrote is all there is."""
        ...

    # -- the hot path: called by the group commit only, one call at a time --

    async def flush(self, batch: Sequence[Item]) -> list[Result | Poisoned]:
        """Write the whole batch in one durable transaction and tell what became of each item, in order.

        Items take effect in the order given, also several of one run or one lane. A poisoned item fails alone. When
        this returns, everything is on disk. Raises StoreFailed with nothing written.
        """
        ...

    # -- leases --

    async def claim(self, limit: int) -> list[Claim]:
        """Take the leases of up to `limit` lanes that have runs and no holder: by priority, then by how long they
        wait."""
        ...

    async def beat(self) -> None:
        """Tell that this replica is alive. Raises Fenced if it was declared dead."""
        ...

    async def reap(self, lease_s: float) -> int:
        """Declare dead every other replica whose last beat is older than that, by the store's clock, and free its
        lanes; how many."""
        ...

    # -- runs --

    async def runs(self, tenant: str, run_ids: Sequence[str]) -> dict[str, v1.Run]:
        """These runs, without those that do not exist or belong to others."""
        ...

    async def list_runs(self, query: RunQuery) -> list[v1.Run]: ...

    async def queued(self, run_id: str) -> Queued | None:
        """Where a run stands in its lane; None if it does not exist or has ended."""
        ...

    async def events(self, run_id: str, after_sequence: int, limit: int) -> list[v1.RunEvent]:
        """Up to `limit` events (and about 4 MB) after that sequence, in order. Empty for a run that does not exist."""
        ...

    async def run_messages(self, run_id: str, after_position: int, limit: int) -> list[v1.Message]:
        """The messages that a run wrote, its input once it has started, by position, after that position (-1: all)."""
        ...

    async def run_request(self, tenant: str, run_id: str) -> bytes | None:
        """The request of a run, as accepted."""
        ...

    async def history(self, lane: str, before_position: int, max_bytes: int) -> History:
        """The newest messages of a lane before that position, as many whole ones as fit into `max_bytes`; none that the
        newest compaction among them left behind, whose entry has `context_start`, and none that are LeftOut. What a
        fork inherited is told as its own: under its conversation_id."""
        ...

    async def messages(
        self, tenant: str, lane: str, after_position: int | None, limit: int, *, newest_first: bool
    ) -> list[v1.Message]:
        """Up to `limit` messages of a lane (and about 4 MB), those that follow that position in the order asked for
        (None: from the first). May be fewer though more follow; empty when none follow. As `history` tells them, but
        only what is LeftOut of the conversation is missing."""
        ...

    async def message_position(self, tenant: str, lane: str, message_id: str) -> int | None:
        """The position of the last entry of that id that a run of the lane wrote which has ended, or that the lane
        inherited; None for none. Looks through all that `messages` tells."""
        ...

    async def list_messages(self, query: MessageQuery) -> list[Listed]:
        """Up to `limit` messages (and about 4 MB of them). May be fewer though more follow; empty when none follow.

        Of a lane and of an agent, what `messages` tells; of a run, all that it wrote. An agent's list and the tenant's
        tell what a fork has inherited once, as its run wrote it. The cost of a page does not grow with the list.
        """
        ...

    async def message_place(self, of: MessageScope, message_id: str) -> int | None:
        """Where a message stands in a list; None if it is not part of it."""
        ...

    async def message(self, tenant: str, message_id: str) -> Sequence[v1.Message]:
        """The entries of a message that is part of a conversation, as its run wrote them; empty for none."""
        ...

    async def delete_run(self, tenant: str, run_id: str) -> RunDeletion:
        """Delete a run that has ended, with its request, log and steps, and what only the run itself lists.

        Its other messages stay in their conversation and in forks of it. Its keys stay taken: an Accept with one of
        them is Deleted, as one that repeats it without a key.
        """
        ...

    async def steps(self, run_id: str) -> list[v1.Step]:
        """The steps of a run, by index."""
        ...

    async def step(self, tenant: str, step_id: str) -> v1.Step | None: ...

    async def list_steps(self, query: StepQuery) -> list[tuple[v1.Step, StepPlace]]: ...

    async def step_place(self, tenant: str, step_id: str) -> StepPlace | None: ...

    async def set_feedback(
        self, tenant: str, step_id: str, feedback: v1.StepFeedback.ValueType, tags: Sequence[str] | None
    ) -> v1.Step | None:
        """Write down what is thought of a step, which no later Progress writes over; tags None: those that are there
        stay. The step as it is then; None if it does not exist."""
        ...

    async def overdue_runs(self, now_ns: int, limit: int) -> list[tuple[str, str]]:
        """(tenant, id) of CREATED runs that were to be started before now, the longest overdue first."""
        ...

    # -- pending actions --

    async def actions(self, tenant: str, lane: str) -> ActionSet | None:
        """The newest actions of a lane, also when they are settled; None if it never had any."""
        ...

    async def list_actions(self, query: ActionQuery) -> list[tuple[v1.PendingAction, str]]:
        """What lanes wait for, soonest expiry first, each with its cursor; those with an answer that wait for others of
        their run among them. None of a lane with a run at work, which is going to settle them."""
        ...

    async def expired_actions(self, now_ns: int, limit: int) -> list[tuple[str, str, str]]:
        """(tenant, lane, run id) of runs with an action that expired before now, each once, the longest expired first.
        Otherwise as `list_actions`."""
        ...

    # -- the outbox --

    async def claim_deliveries(
        self, now_ns: int, limit: int, per_receiver: int, room: Mapping[str, int]
    ) -> list[Delivery]:
        """Hand out up to `limit` deliveries that are due and that nobody holds, the longest due first, each to one
        replica only: not more of one receiver than `room` says, or `per_receiver` where it says nothing. So a receiver
        with a long queue keeps no other one waiting.

        They are held until NoteAttempt, or until the replica is gone; then they are due at once.
        """
        ...

    async def open_deliveries(self) -> int:
        """How many deliveries wait or are under way, of all replicas."""
        ...

    # -- agents --

    async def create_agent(
        self, tenant: str, agent: v1.Agent, key: Key | None, fingerprint: bytes
    ) -> v1.Agent | Mismatched:
        """Write an agent and the lane of its default conversation. A known key gives the agent that it made (as it is
        now), or Mismatched (whose run_id is that agent's id) if the fingerprint differs. A key outlives nothing: it
        goes with its agent."""
        ...

    async def agent(self, tenant: str, agent_id: str) -> v1.Agent | None: ...

    async def list_agents(self, query: AgentQuery) -> list[ListedAgent]: ...

    async def count_agents(self, tenant: str, wanted: v1.AgentFilter) -> int: ...

    async def list_tags(self, query: TagQuery) -> list[str]:
        """Tags of agents and blocks, each once, in the order of their code points."""
        ...

    async def update_agent(self, tenant: str, agent: v1.Agent, expected_etag: str) -> bool:
        """Write the agent over the one with that id if its etag is still `expected_etag`; else False."""
        ...

    async def delete_agent(self, tenant: str, agent_id: str) -> Mapping[str, int] | None:
        """Delete an agent with its conversations, lanes, runs, messages, events, steps, actions, deliveries and keys,
        if none of its runs is open.

        Returns {"active_runs": n}: 0 means deleted, more means that nothing was. None: no such agent."""
        ...

    # -- conversations beside the default ones --

    async def create_conversation(
        self,
        tenant: str,
        conversation: v1.Conversation,
        key: Key | None,
        fingerprint: bytes,
        fork: Fork | None = None,
    ) -> v1.Conversation | Mismatched | LaneMissing:
        """Write a conversation and its lane, with the history of `fork` in front of all that its own runs will write.

        A known key gives the conversation that it made, as it is now, or Mismatched (whose run_id is that
        conversation's id) if the fingerprint differs. LaneMissing: no such agent, or it has no lane to fork by that
        name. What is inherited stays when the lane that it comes from is deleted.
        """
        ...

    async def conversation(self, tenant: str, conversation_id: str) -> v1.Conversation | None:
        """With active_run_id, queued_runs, pending_actions (those that `list_actions` tells) and last_message_time as
        they are now."""
        ...

    async def list_conversations(self, query: ConversationQuery) -> ConversationPage:
        """Up to `limit` conversations, as `conversation` tells them; fewer where it has looked at many that were not
        asked for."""
        ...

    async def conversation_cursor(
        self, tenant: str, conversation_id: str, order: ConversationOrder
    ) -> tuple[int, str] | None:
        """The cursor of a conversation in lists of that order; None if there is none."""
        ...

    async def update_conversation(self, tenant: str, conversation: v1.Conversation, expected_etag: str) -> bool:
        """Write the conversation over the one with that id if its etag is still `expected_etag`; else False. What it
        is doing now is not written."""
        ...

    async def delete_conversation(self, tenant: str, conversation_id: str) -> Mapping[str, int] | None:
        """As `delete_agent`, of one conversation. Forks of it keep their history."""
        ...

    # -- tools --

    async def put_tool(self, tenant: str, tool: v1.Tool, expected_etag: str | None) -> bool:
        """Write a tool. With None it must be new to the tenant, else it is written over the one with that id, whose
        etag must still be `expected_etag`. False, and nothing written, if that is not so or another tool of the tenant
        has the name. The empty tenant is the server's own; tenants may have tools of one id."""
        ...

    async def tool(self, tenant: str, tool_id: str) -> v1.Tool | None: ...

    async def tool_named(self, tenant: str, name: str) -> v1.Tool | None: ...

    async def list_tools(self, tenant: str, after_name: str, limit: int) -> list[v1.Tool]:
        """By name, those that follow that name."""
        ...

    async def list_tools_by_time(
        self, tenant: str, after: tuple[int, str] | None, limit: int, *, newest_first: bool
    ) -> list[v1.Tool]:
        """By time of creation; `after` is (create_time_ns, id) of the last one seen."""
        ...

    async def delete_tool(self, tenant: str, tool_id: str) -> bool:
        """Whether there was one."""
        ...

    # -- memory blocks --

    async def create_block(
        self, tenant: str, block: v1.Block, key: Key | None, fingerprint: bytes
    ) -> v1.Block | Mismatched:
        """Write a block. Keys as those of `create_agent`."""
        ...

    async def block(self, tenant: str, block_id: str) -> v1.Block | None: ...

    async def list_blocks(self, query: BlockQuery) -> list[v1.Block]: ...

    async def update_block(self, tenant: str, block: v1.Block, expected_etag: str, change: str = "") -> BlockChange:
        """Write the block over the one with that id if its etag is still `expected_etag`.

        `change` names the change, so that one that is repeated after a crash is made once: if it is one of the last 64
        names that were written to the block, nothing else matters. Empty for a change that has no name.
        """
        ...

    async def delete_block(self, tenant: str, block_id: str) -> bool:
        """Whether there was one."""
        ...

    # -- files --

    async def create_file(
        self, tenant: str, file: v1.File, data: bytes, key: Key | None, fingerprint: bytes
    ) -> v1.File | Mismatched:
        """Write a file with its bytes. Keys as those of `create_agent`."""
        ...

    async def file(self, tenant: str, file_id: str) -> v1.File | None: ...

    async def file_data(self, tenant: str, file_id: str) -> bytes | None: ...

    async def list_files(self, tenant: str, after: tuple[int, str] | None, limit: int) -> list[v1.File]:
        """Newest first; `after` is (create_time_ns, id) of the last one seen."""
        ...

    async def delete_file(self, tenant: str, file_id: str) -> bool:
        """Whether there was one."""
        ...
