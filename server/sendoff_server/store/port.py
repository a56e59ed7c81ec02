"""What a store engine does: few verbs, each of which works on a whole batch.

SQLite and PostgreSQL implement `Store`; `tests/contract/` holds every engine to this page. What a batch consists of
stands in `store/items.py`, what is asked and answered in `store/questions.py`. Above the port and shared by
all engines are the group commit (`store/group_commit.py`), the scheduler and the watch hub.

Words: a *lane* is the row of a conversation that is lock, queue head and lease in one. Its id is the conversation's id,
or the agent's id for the agent's default conversation. Its *head* is its oldest run that has not ended. Who holds the
lease of a lane executes its head; nobody else does.

Times are nanoseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol, Self

from sendoff import v1
from sendoff_server.store.api_keys import ApiKeyReads
from sendoff_server.store.hints import Hint
from sendoff_server.store.items import Cancel, Claim, Full, Item, Key, LaneMissing, Mismatched, Result
from sendoff_server.store.questions import (
    ActionQuery,
    ActionSet,
    AgentQuery,
    BlockChange,
    BlockQuery,
    ConversationOrder,
    ConversationPage,
    ConversationQuery,
    Delivery,
    DeliveryQuery,
    DispatchScope,
    Endpoint,
    Fork,
    History,
    Listed,
    ListedAgent,
    ListedDelivery,
    MessageQuery,
    MessageScope,
    Outbox,
    Purged,
    Queued,
    RunDeletion,
    RunQuery,
    StepPlace,
    StepQuery,
    TagQuery,
)
from sendoff_server.store.standing import QueueCount, QueueDepth, SlotWait, Standing, Stored

DEFAULT_TENANT = "default"
"""Owner of everything as long as there are no keys."""

POSITION_SHIFT = 20
"""`Message.position` is the run's place in its lane shifted left by this, plus a number inside the run."""

TURN_SHIFT = 10
"""A run's place in its lane is the number of its turn, in order of acceptance, shifted left by this, plus its place in
the turn: a run that continues another one comes right behind it, in front of all that was accepted meanwhile."""

LEASE_S = 10.0
"""A replica that was not heard of for so long is declared dead: the time that `reap` is given."""

INPUT_PLACE = 8
"""Places inside a run below this one are for what settles calls of runs before it; its input begins here."""


OnHint = Callable[[str, Hint], None]
"""Takes the replica that sent it, and what it tells."""


class StoreFailed(Exception):
    """The database did not do it: disk full, locked, connection lost. Nothing of the batch is written; the same batch
    may be tried again."""


class Fenced(Exception):
    """This replica was declared dead. Nothing was written, and nothing of it ever will be: stop the process."""


class NewerSchema(Exception):
    """The database was written by a newer version of this program, which must not be undone."""


class OlderSchema(Exception):
    """The database lacks migrations of this program, and was only looked at."""


class EngineMissing(Exception):
    """The engine that the settings choose is not installed."""


class StoreInUse(Exception):
    """Another process has the database, and this engine serves one process only."""


class BackupRefused(Exception):
    """A copy of the database is not made, or not put in its place; the message says what to change."""


class Poisoned(Exception):
    """This one item can not be written, whatever else is in the batch; the other items were."""


class Store(ApiKeyReads, Protocol):
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
        """Take the leases of up to `limit` lanes that have runs and no holder, and whose heads may start. Fewer only if
        no more can be had.

        As many lanes of each share in turn as its weight says, one where it has none, from the share behind the last
        one that was served, so that a lane whose share has no other waits for no more claims than the shares that wait
        weigh. Within a share a lane goes by the time
        since which it waits and, a minute each, by the number of its priority: one of priority 1 goes before those of
        priority 5 that wait up to four minutes longer, and nobody is overtaken for ever.

        None for which a pause counts, unless its head has begun or is to be cancelled; and none of an agent or a tenant
        that is at its cap.
        """
        ...

    @property
    def is_capped(self) -> bool:
        """Whether there are caps. Then leases are taken by `claim` only: an Accept takes none, none is kept."""
        ...

    async def pause_dispatch(
        self, scope: DispatchScope, pause: v1.DispatchPause, most: int
    ) -> v1.DispatchPause | Full | None:
        """The pause that counts for exactly this scope from now on: this one, or the one that is there already.

        Once it returns no replica takes a lease that it forbids; leases that are held stay, and lanes with them until
        their runs end. Full: the tenant has `most` of them. None: there is no such agent.
        """
        ...

    async def resume_dispatch(self, scope: DispatchScope) -> bool:
        """Whether there was a pause for exactly this scope. Once it returns the lanes can be claimed."""
        ...

    async def dispatch_pauses(self, tenant: str) -> list[v1.DispatchPause]:
        """Oldest first. Those of an agent go with it."""
        ...

    async def next_start_s(self) -> float | None:
        """Seconds until the next start time comes that a lane waits for, by the store's clock; not above zero if it
        has come and nobody has claimed since. None if no lane waits for one."""
        ...

    async def beat(self) -> None:
        """Tell that this replica is alive. Raises Fenced if it was declared dead."""
        ...

    async def reap(self, lease_s: float) -> int:
        """Declare dead every other replica whose last beat is older than that, by the store's clock, and free its
        lanes; how many. Raises NewerSchema if the database was migrated to what this program may not work on."""
        ...

    def hints(self, on_hint: OnHint) -> AbstractAsyncContextManager[None]:
        """Inside the block `on_hint` is called with what other replicas tell, and hints can be sent."""
        ...

    async def tell(self, hints: Sequence[Hint]) -> None:
        """Send hints to all other replicas, and text to whom it is for. Raises StoreFailed: then some may not have
        come. Sends nothing where replicas have no way to hear each other."""
        ...

    # -- runs --

    async def runs(self, tenant: str, run_ids: Sequence[str]) -> dict[str, v1.Run]:
        """These runs, without those that do not exist or belong to others."""
        ...

    async def run_marks(self, run_ids: Sequence[str]) -> Mapping[str, str]:
        """Of each of these runs that exists, a mark that is another one whenever something of the run was written."""
        ...

    async def wanted_cancels(self) -> list[tuple[str, Cancel]]:
        """The runs in lanes that this replica holds that are to be cancelled and have not ended."""
        ...

    async def list_runs(self, query: RunQuery) -> list[v1.Run]: ...

    async def queued(self, run_id: str) -> Queued | None:
        """Where a run stands in its lane; None if it does not exist or has ended."""
        ...

    async def standing(self, tenant: str, run_id: str) -> Standing | None:
        """Where a run stands and who holds it, all as of one moment; None if it does not exist. The cost does not grow
        with what waits."""
        ...

    async def count_queue(self, tenant: str, shares: Sequence[int]) -> QueueCount:
        """How many runs of the tenant have not ended; of these shares only, if any are named."""
        ...

    async def queue_depths(self, tenants: Sequence[str]) -> list[QueueDepth]:
        """How many runs have not ended, of each of these tenants that has some, and of all others together. The cost
        grows with the conversations that have such runs, and not with the runs."""
        ...

    async def count_open(self, tenant: str, most: int) -> int:
        """How many runs of the tenant have not ended; not counted much further than to `most`."""
        ...

    async def stored(self, tenant: str, after_ns: int) -> Stored:
        """How much a tenant has stored. The cost grows with the messages that came after that moment, and with the
        files."""
        ...

    async def slot_waits(self, tenant: str) -> list[SlotWait]:
        """Of runs whose first step is among the newest NEWEST_STEPS of the tenant, those that started last first."""
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

    async def audit_entries(self, tenant: str, before_id: str, limit: int) -> list[v1.AuditEntry]:
        """Up to so many entries of the tenant that lie before that one, newest first."""
        ...

    async def purge_audit(self, before_ns: int) -> int:
        """Delete entries of before that time, of all tenants; how many. A crash leaves what is left to the next one."""
        ...

    async def purge(self, now_ns: int, limit: int) -> Purged:
        """Delete up to `limit` runs whose expire_time is over, the longest first, as `delete_run` does, but for their
        keys, which are free again. Their logs follow, some hundred entries at a time, of which nobody finds any more;
        so purge until it is done. A crash leaves what is left to the next one. Replicas may purge at a time.

        Runs stay as long as their lane waits for answers to their actions, a run of their turn has not ended, or one of
        their deliveries is neither done nor given up; these are looked at again ten minutes later.
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
        """Hand out up to `limit` deliveries with a URL that are due and that nobody holds, the longest due first, each
        to one replica only: not more of one receiver than `room` says, or `per_receiver` where it says nothing. So a
        receiver with a long queue keeps no other one waiting.

        Of one run to one endpoint, or to its own URL, the later is not due before the earlier is done. They are held
        until NoteAttempt, or until the replica is gone; then they are due at once.
        """
        ...

    async def claim_pulled(self, tenant: str, endpoint_id: str, now_ns: int, limit: int) -> list[Delivery]:
        """As `claim_deliveries`, of one endpoint without a URL."""
        ...

    async def outbox(self) -> Outbox: ...

    async def delivery(self, tenant: str, delivery_id: str) -> v1.Delivery | None:
        """With its last 20 attempts. One that was given up without an attempt tells when and why as if by a last one,
        which does not count."""
        ...

    async def list_deliveries(self, query: DeliveryQuery) -> list[ListedDelivery]:
        """As `delivery` tells them; where their attempts are more than about 4 MB, with the last one of each only. The
        cost of a page does not grow with the list."""
        ...

    async def redeliver(self, tenant: str, delivery_ids: Sequence[str], now_ns: int) -> int:
        """Have those of them that are done or given up tried again from now on, as if they were new; how many. Ids
        that do not exist are passed over. A run shows it of its own callback."""
        ...

    async def redeliver_missed(self, tenant: str, endpoint_id: str, since_ns: int, now_ns: int) -> int:
        """As `redeliver`, of all that an endpoint was to get since then and that were given up. Written in bites, so
        that others can write in between: a crash leaves some of them as they were."""
        ...

    # -- endpoints --

    async def create_endpoint(
        self, tenant: str, endpoint: Endpoint, key: Key | None, fingerprint: bytes, most: int
    ) -> Endpoint | Mismatched | Full:
        """Write an endpoint. Keys as those of `create_agent`. Full: the tenant has `most` of them."""
        ...

    async def endpoint(self, tenant: str, endpoint_id: str) -> Endpoint | None: ...

    async def list_endpoints(self, tenant: str, after: tuple[int, str] | None, limit: int) -> list[v1.CallbackEndpoint]:
        """Newest first; `after` is (create_time_ns, id) of the last one seen."""
        ...

    async def update_endpoint(self, tenant: str, endpoint: Endpoint, expected_etag: str) -> bool:
        """Write the endpoint with its secrets over the one with that id if its etag is still `expected_etag`; else
        False. Deliveries that wait go to the new URL."""
        ...

    async def delete_endpoint(self, tenant: str, endpoint_id: str) -> bool:
        """Whether there was one. Its deliveries go with it, in bites."""
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
