"""What is asked of a store, and what it answers with.

Words and times are those of `store/port.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from sendoff import v1
from sendoff_server.store.items import Key


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


@dataclass(frozen=True, slots=True)
class Purged:
    """One bite of what was to be purged."""

    run_ids: Sequence[str]
    """Runs that are gone from now on."""
    entries: int
    """How many entries of logs were deleted, of these runs and of ones that went before."""
    is_done: bool
    """Nothing more is due, but for what cannot go yet."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchScope:
    """Which lanes a pause is for: those of an agent, or of a share, or all of the tenant."""

    tenant: str
    agent_id: str | None = None
    share: int | None = None


class CapOf(Enum):
    """Whose runs a cap counts."""

    AGENT = "agent"
    TENANT = "tenant"


@dataclass(frozen=True, slots=True)
class AtCap:
    """As many runs are under way, over all replicas, as may be."""

    of: CapOf
    running: int
    most: int


@dataclass(frozen=True, slots=True)
class Queued:
    """Where a CREATED run stands in its lane."""

    position: int
    """How many runs are in front of it."""
    blocking_run_id: str | None
    """The lane's head; None if it is the head itself."""
    paused_by: str = ""
    """The run whose pending actions the lane's head waits for; empty if it does not wait."""
    start_ns: int | None = None
    """It is not started before. None: it may be at once."""
    pause: v1.DispatchPause | None = None
    """The oldest that keeps the lane's head from being taken up. None for who is not the head."""
    at_cap: AtCap | None = None
    """The cap that keeps the lane's head from being taken up, the agent's rather than the tenant's. None for who is not
    the head."""


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


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that signs the deliveries of an endpoint."""

    text: str = field(repr=False)
    until_ns: int | None = None
    """It does not sign any more from then on; None: it signs until it is replaced."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A registered receiver."""

    told: v1.CallbackEndpoint
    secrets: Sequence[Secret]
    """Newest first; none for one without a URL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A callback that is due, held by this replica until NoteAttempt."""

    id: str
    """The same at every attempt."""
    tenant: str
    kind: str
    """Of EVENT_TYPES."""
    sequence: int
    """Of the event in the run's log."""
    run: v1.Run
    """As stored. It has ended, unless the kind is RUN_STARTED."""
    url: str
    """Where it goes as of now: the endpoint's or the run's own. Empty: it is pulled."""
    receiver: str
    """`receiver_of(url)`, or empty."""
    endpoint: Endpoint | None
    """Whose delivery it is. None: it is the run's own callback."""
    signed_by: Endpoint | None
    """Whose secrets sign: `endpoint`, or the one that the run's callback names. None: the server's own, or, if the
    callback names one, that one is deleted."""
    create_ns: int
    """When it was put into the outbox, or put there again by `redeliver`."""
    attempts: int
    """How many were noted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryQuery:
    """Which deliveries, newest first. What is None or empty does not matter."""

    tenant: str
    run_id: str | None = None
    endpoint_id: str | None = None
    statuses: Sequence[v1.DeliveryStatus.ValueType] = ()
    before: int | None = None
    """The place of the last delivery seen."""
    limit: int = 50


class ListedDelivery(NamedTuple):
    delivery: v1.Delivery
    place: int


@dataclass(frozen=True, slots=True)
class Outbox:
    """What waits."""

    open: int
    """Callbacks of runs themselves that wait or are under way, of all replicas. Those of endpoints do not count: each
    run brings a bounded number of them, so they grow as runs do, and one dead endpoint must refuse nobody's run."""
    has_endpoints: bool
    """Whether any tenant has one: then the start or end of any run may bring a delivery."""


RUN_STARTED = "run.started"
ACTION_REQUIRED = "run.action_required"
RUN_FINISHED = "run.finished"
EVENT_TYPES = (RUN_STARTED, ACTION_REQUIRED, RUN_FINISHED)
DEFAULT_EVENT_TYPES = (ACTION_REQUIRED, RUN_FINISHED)
"""Where none are named."""


def receiver_of(url: str) -> str:
    """Whose deliveries share a limit: host and port of an absolute URL. Raises ValueError."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme.lower())
    if port is None:
        raise ValueError(f"neither http nor https: {url!r}")
    return f"{parts.hostname}:{port}"
