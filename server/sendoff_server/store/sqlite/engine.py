"""The SQLite engine: the port's verbs, each handed to the thread that does it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import SECOND_NS, Clock, SystemClock
from sendoff_server.store.api_keys import ApiKeyChanges
from sendoff_server.store.batch import claiming
from sendoff_server.store.batch.dispatch import NO_CAPS, Caps, Claimed, Dispatch, Scope
from sendoff_server.store.batch.shares import WeightsOf, Wheel
from sendoff_server.store.group_read import GroupRead
from sendoff_server.store.hints import Hint
from sendoff_server.store.items import Cancel, Claim, Full, Item, Key, LaneMissing, Mismatched, Result
from sendoff_server.store.port import OnHint, Poisoned, Store
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
from sendoff_server.store.sqlite import (
    actions,
    agent_lists,
    agents,
    api_keys,
    audit,
    blocks,
    claims,
    conversation_list,
    conversations,
    deletes,
    deliveries,
    delivery_list,
    endpoints,
    files,
    leases,
    listing,
    messages,
    pauses,
    purge,
    reads,
    standing,
    steps,
    tags,
    tools,
    write,
)
from sendoff_server.store.sqlite.checkpoint import Checkpointer
from sendoff_server.store.sqlite.connection import Synchronous, connect, connect_reader
from sendoff_server.store.sqlite.lock import FileLock
from sendoff_server.store.sqlite.migrations import migrate
from sendoff_server.store.sqlite.threads import ConnectionThreads
from sendoff_server.store.standing import QueueCount, QueueDepth, SlotWait, Standing, Stored

P = ParamSpec("P")
T = TypeVar("T")

_READERS = 2
_BITE = 500
"""Rows of what may be large, written at once before others get their turn."""


class SqliteStore(Store):
    """A database file, entered once. A verb that is cancelled while its thread works is carried out all the same."""

    def __init__(
        self,
        path: Path,
        *,
        synchronous: Synchronous = "FULL",
        exclusive: bool = True,
        clock: Clock | None = None,
        caps: Caps = NO_CAPS,
        weights_of: WeightsOf | None = None,
        slots: int | None = None,
    ) -> None:
        """`exclusive`: one process, which takes over at once what an earlier one held. Else replicas share the file.
        `slots`: how many runs this one executes at once, to be told."""
        self._path = path
        self._exclusive = exclusive
        self._clock = clock or SystemClock()
        self._replica_id = ids.new("replica")
        self._replica_no = 0
        self._slots = slots
        self._dispatch = Dispatch(caps, Wheel(weights_of))
        self._writer = ConnectionThreads("write", 1, partial(connect, path, synchronous))
        self._readers = ConnectionThreads("read", _READERS, partial(connect_reader, path))
        self._checkpointer = Checkpointer(partial(connect, path, synchronous))
        self._group_read: GroupRead[tuple[str, str], v1.Run] = GroupRead(self._read_runs)
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._create_file()
            if self._exclusive:
                lock = FileLock.beside(self._path)
                lock.take()
                stack.callback(lock.drop)
            stack.push_async_callback(self._writer.close)
            stack.push_async_callback(self._checkpointer.close)
            stack.push_async_callback(self._readers.close)
            self._replica_no = await self._writer.submit(self._open)
            stack.push_async_callback(self._leave)
            while not self._dispatch.caps.per_agent and await self._write(claims.forget_caps, _BITE):
                pass
            self._resources = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._resources.__aexit__(kind, error, trace)

    @property
    def replica_id(self) -> str:
        return self._replica_id

    @property
    def is_alone(self) -> bool:
        return self._exclusive

    # -- the hot path --

    async def flush(self, batch: Sequence[Item]) -> list[Result | Poisoned]:
        return await self._write(self._flush, batch)

    def _flush(self, connection: sqlite3.Connection, batch: Sequence[Item]) -> list[Result | Poisoned]:
        self._checkpointer.before_batch(connection)
        return write.flush(connection, self._replica_no, self._dispatch.caps, self._clock.now_ns(), batch)

    # -- leases --

    async def claim(self, limit: int) -> list[Claim]:
        return await claiming.claim(limit, self._claim_some, self._free_paused)

    async def _claim_some(self, limit: int) -> Claimed:
        return await self._write(claims.claim, self._replica_no, self._dispatch, limit, self._clock.now_ns())

    @property
    def is_capped(self) -> bool:
        return self._dispatch.caps.any

    async def pause_dispatch(
        self, scope: DispatchScope, pause: v1.DispatchPause, most: int
    ) -> v1.DispatchPause | Full | None:
        written = await self._write(pauses.write, self._replica_no, scope, pause, most)
        if written is None:
            return None
        told, of = written
        while not isinstance(told, Full) and await self._write(pauses.bar, self._replica_no, of, _BITE):
            pass
        return told

    async def resume_dispatch(self, scope: DispatchScope) -> bool:
        counted, of = await self._write(pauses.lift, self._replica_no, scope)
        if of is not None:
            await self._free_paused(of)
        return counted

    async def _free_paused(self, scope: Scope) -> None:
        while await self._write(pauses.free, self._replica_no, scope, _BITE):
            pass

    async def dispatch_pauses(self, tenant: str) -> list[v1.DispatchPause]:
        return await self._readers.submit(pauses.read_all, tenant)

    async def next_start_s(self) -> float | None:
        return await self._readers.submit(claims.next_start_s, self._clock.now_ns())

    async def beat(self) -> None:
        if self._exclusive:  # nobody is there who could look at the time of it
            await self._write(leases.check_alive, self._replica_no)
        else:
            await self._write(leases.beat, self._replica_no, self._clock.now_ns())

    async def reap(self, lease_s: float) -> int:
        now_ns = self._clock.now_ns()
        return await self._write(leases.reap, self._replica_no, now_ns - int(lease_s * SECOND_NS), now_ns)

    def hints(self, on_hint: OnHint) -> AbstractAsyncContextManager[None]:
        return nullcontext()  # nobody is there to send any

    async def tell(self, hints: Sequence[Hint]) -> None:
        pass  # nobody is there to hear any

    # -- runs --

    async def runs(self, tenant: str, run_ids: Sequence[str]) -> dict[str, v1.Run]:
        found = await self._group_read.get([(tenant, run_id) for run_id in run_ids])
        return {run_id: found[tenant, run_id] for run_id in run_ids if (tenant, run_id) in found}

    def _read_runs(self, wanted: Iterable[tuple[str, str]]) -> asyncio.Future[Mapping[tuple[str, str], v1.Run]]:
        return self._readers.submit(reads.runs, wanted)

    async def run_marks(self, run_ids: Sequence[str]) -> Mapping[str, str]:
        return await self._readers.submit(reads.marks, run_ids)

    async def wanted_cancels(self) -> list[tuple[str, Cancel]]:
        return await self._readers.submit(reads.wanted_cancels, self._replica_no)

    async def list_runs(self, query: RunQuery) -> list[v1.Run]:
        return await self._readers.submit(reads.list_runs, query)

    async def queued(self, run_id: str) -> Queued | None:
        return await self._readers.submit(reads.queued, run_id, self._dispatch.caps)

    async def standing(self, tenant: str, run_id: str) -> Standing | None:
        return await self._readers.submit(standing.of_run, tenant, run_id, self._dispatch.caps, self._clock.now_ns())

    async def count_queue(self, tenant: str, shares: Sequence[int]) -> QueueCount:
        return await self._readers.submit(standing.count, tenant, shares, self._dispatch.caps, self._clock.now_ns())

    async def queue_depths(self, tenants: Sequence[str]) -> list[QueueDepth]:
        return await self._readers.submit(standing.depths, tenants, self._clock.now_ns())

    async def count_open(self, tenant: str, most: int) -> int:
        return await self._readers.submit(standing.count_open, tenant, most)

    async def stored(self, tenant: str, after_ns: int) -> Stored:
        return await self._readers.submit(standing.stored, tenant, after_ns)

    async def slot_waits(self, tenant: str) -> list[SlotWait]:
        return await self._readers.submit(standing.waits, tenant)

    async def events(self, run_id: str, after_sequence: int, limit: int) -> list[v1.RunEvent]:
        return await self._readers.submit(reads.events, run_id, after_sequence, limit)

    async def run_messages(self, run_id: str, after_position: int, limit: int) -> list[v1.Message]:
        return await self._readers.submit(reads.run_messages, run_id, after_position, limit)

    async def run_request(self, tenant: str, run_id: str) -> bytes | None:
        return await self._readers.submit(reads.run_request, tenant, run_id)

    async def history(self, lane: str, before_position: int, max_bytes: int) -> History:
        return await self._readers.submit(messages.history, lane, before_position, max_bytes)

    async def messages(
        self, tenant: str, lane: str, after_position: int | None, limit: int, *, newest_first: bool
    ) -> list[v1.Message]:
        return await self._readers.submit(messages.page, tenant, lane, after_position, limit, newest_first)

    async def message_position(self, tenant: str, lane: str, message_id: str) -> int | None:
        return await self._readers.submit(messages.position_of, tenant, lane, message_id)

    async def list_messages(self, query: MessageQuery) -> list[Listed]:
        return await self._readers.submit(listing.page, query)

    async def message_place(self, of: MessageScope, message_id: str) -> int | None:
        return await self._readers.submit(listing.place, of, message_id)

    async def message(self, tenant: str, message_id: str) -> Sequence[v1.Message]:
        return await self._readers.submit(listing.entries, tenant, message_id)

    async def delete_run(self, tenant: str, run_id: str) -> RunDeletion:
        return await self._write(deletes.delete_run, self._replica_no, tenant, run_id)

    async def audit_entries(self, tenant: str, before_id: str, limit: int) -> list[v1.AuditEntry]:
        return await self._readers.submit(audit.read, tenant, before_id, limit)

    async def purge_audit(self, before_ns: int) -> int:
        count, tenant = 0, await self._readers.submit(audit.tenant_behind, "")
        while tenant is not None:
            gone = await self._write(audit.purge, self._replica_no, tenant, before_ns, _BITE)
            count += gone
            if gone < _BITE:
                tenant = await self._readers.submit(audit.tenant_behind, tenant)
        return count

    async def purge(self, now_ns: int, limit: int) -> Purged:
        return await self._write(purge.purge, self._replica_no, now_ns, limit, _BITE)

    # -- steps --

    async def steps(self, run_id: str) -> list[v1.Step]:
        return await self._readers.submit(steps.of_run, run_id)

    async def step(self, tenant: str, step_id: str) -> v1.Step | None:
        return await self._readers.submit(steps.read, tenant, step_id)

    async def list_steps(self, query: StepQuery) -> list[tuple[v1.Step, StepPlace]]:
        return await self._readers.submit(steps.read_page, query)

    async def step_place(self, tenant: str, step_id: str) -> StepPlace | None:
        return await self._readers.submit(steps.place, tenant, step_id)

    async def set_feedback(
        self, tenant: str, step_id: str, feedback: v1.StepFeedback.ValueType, tags: Sequence[str] | None
    ) -> v1.Step | None:
        return await self._write(steps.set_feedback, self._replica_no, tenant, step_id, feedback, tags)

    async def overdue_runs(self, now_ns: int, limit: int) -> list[tuple[str, str]]:
        return await self._readers.submit(reads.overdue, now_ns, limit)

    # -- pending actions --

    async def actions(self, tenant: str, lane: str) -> ActionSet | None:
        return await self._readers.submit(actions.read, tenant, lane)

    async def list_actions(self, query: ActionQuery) -> list[tuple[v1.PendingAction, str]]:
        return await self._readers.submit(actions.read_page, query)

    async def expired_actions(self, now_ns: int, limit: int) -> list[tuple[str, str, str]]:
        return await self._readers.submit(actions.expired, now_ns, limit)

    # -- the outbox --

    async def claim_deliveries(
        self, now_ns: int, limit: int, per_receiver: int, room: Mapping[str, int]
    ) -> list[Delivery]:
        due = await self._readers.submit(deliveries.due, now_ns, limit, per_receiver, room)
        return await self._write(deliveries.take, self._replica_no, due, now_ns) if due else []

    async def claim_pulled(self, tenant: str, endpoint_id: str, now_ns: int, limit: int) -> list[Delivery]:
        due = await self._readers.submit(deliveries.due_pulled, tenant, endpoint_id, now_ns, limit)
        return await self._write(deliveries.take, self._replica_no, due, now_ns) if due else []

    async def outbox(self) -> Outbox:
        return await self._readers.submit(deliveries.count)

    async def delivery(self, tenant: str, delivery_id: str) -> v1.Delivery | None:
        return await self._readers.submit(delivery_list.read, tenant, delivery_id)

    async def list_deliveries(self, query: DeliveryQuery) -> list[ListedDelivery]:
        return await self._readers.submit(delivery_list.read_page, query)

    async def redeliver(self, tenant: str, delivery_ids: Sequence[str], now_ns: int) -> int:
        return await self._write(delivery_list.redeliver, self._replica_no, tenant, delivery_ids, now_ns)

    async def redeliver_missed(self, tenant: str, endpoint_id: str, since_ns: int, now_ns: int) -> int:
        bite = partial(delivery_list.redeliver_some, since_ns=since_ns, now_ns=now_ns, most=_BITE)
        count, behind = 0, -1
        while True:
            queued, last = await self._write(bite, self._replica_no, tenant, endpoint_id, behind=behind)
            count += queued
            if last is None:
                return count
            behind = last

    # -- endpoints --

    async def create_endpoint(
        self, tenant: str, endpoint: Endpoint, key: Key | None, fingerprint: bytes, most: int
    ) -> Endpoint | Mismatched | Full:
        return await self._write(
            endpoints.create, self._replica_no, tenant, endpoint, key=key, fingerprint=fingerprint, most=most
        )

    async def endpoint(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        return await self._readers.submit(endpoints.read, tenant, endpoint_id)

    async def list_endpoints(self, tenant: str, after: tuple[int, str] | None, limit: int) -> list[v1.CallbackEndpoint]:
        return await self._readers.submit(endpoints.read_page, tenant, after, limit)

    async def update_endpoint(self, tenant: str, endpoint: Endpoint, expected_etag: str) -> bool:
        return await self._write(endpoints.update, self._replica_no, tenant, endpoint, expected_etag)

    async def delete_endpoint(self, tenant: str, endpoint_id: str) -> bool:
        found = False
        while True:
            gone = await self._write(endpoints.delete_some, self._replica_no, tenant, endpoint_id, _BITE)
            if gone is not False:
                return found or gone is not None
            found = True

    # -- agents --

    async def create_agent(
        self, tenant: str, agent: v1.Agent, key: Key | None, fingerprint: bytes
    ) -> v1.Agent | Mismatched:
        return await self._write(agents.create, self._replica_no, tenant, agent, key, fingerprint)

    async def agent(self, tenant: str, agent_id: str) -> v1.Agent | None:
        return await self._readers.submit(agents.read, tenant, agent_id)

    async def list_agents(self, query: AgentQuery) -> list[ListedAgent]:
        return await self._readers.submit(agent_lists.read_page, query)

    async def count_agents(self, tenant: str, wanted: v1.AgentFilter) -> int:
        return await self._readers.submit(agent_lists.count, tenant, wanted)

    async def list_tags(self, query: TagQuery) -> list[str]:
        return await self._readers.submit(tags.read_page, query)

    async def update_agent(self, tenant: str, agent: v1.Agent, expected_etag: str) -> bool:
        return await self._write(agents.update, self._replica_no, tenant, agent, expected_etag)

    async def delete_agent(self, tenant: str, agent_id: str) -> Mapping[str, int] | None:
        return await self._write(agents.delete, self._replica_no, tenant, agent_id)

    # -- conversations beside the default ones --

    async def create_conversation(
        self, tenant: str, conversation: v1.Conversation, key: Key | None, fingerprint: bytes, fork: Fork | None = None
    ) -> v1.Conversation | Mismatched | LaneMissing:
        return await self._write(
            conversations.create, self._replica_no, tenant, conversation, key=key, fingerprint=fingerprint, fork=fork
        )

    async def conversation(self, tenant: str, conversation_id: str) -> v1.Conversation | None:
        return await self._readers.submit(conversations.read, tenant, conversation_id)

    async def list_conversations(self, query: ConversationQuery) -> ConversationPage:
        return await self._readers.submit(conversation_list.read_page, query)

    async def conversation_cursor(
        self, tenant: str, conversation_id: str, order: ConversationOrder
    ) -> tuple[int, str] | None:
        return await self._readers.submit(conversation_list.cursor_of, tenant, conversation_id, order)

    async def update_conversation(self, tenant: str, conversation: v1.Conversation, expected_etag: str) -> bool:
        return await self._write(conversations.update, self._replica_no, tenant, conversation, expected_etag)

    async def delete_conversation(self, tenant: str, conversation_id: str) -> Mapping[str, int] | None:
        return await self._write(conversations.delete, self._replica_no, tenant, conversation_id)

    # -- tools --

    async def put_tool(self, tenant: str, tool: v1.Tool, expected_etag: str | None) -> bool:
        return await self._write(tools.put, self._replica_no, tenant, tool, expected_etag)

    async def tool(self, tenant: str, tool_id: str) -> v1.Tool | None:
        return await self._readers.submit(tools.read, tenant, tool_id)

    async def tool_named(self, tenant: str, name: str) -> v1.Tool | None:
        return await self._readers.submit(tools.read_named, tenant, name)

    async def list_tools(self, tenant: str, after_name: str, limit: int) -> list[v1.Tool]:
        return await self._readers.submit(tools.read_page, tenant, after_name, limit)

    async def list_tools_by_time(
        self, tenant: str, after: tuple[int, str] | None, limit: int, *, newest_first: bool
    ) -> list[v1.Tool]:
        return await self._readers.submit(tools.read_page_by_time, tenant, after, limit, newest_first)

    async def delete_tool(self, tenant: str, tool_id: str) -> bool:
        return await self._write(tools.delete, self._replica_no, tenant, tool_id)

    # -- memory blocks --

    async def create_block(
        self, tenant: str, block: v1.Block, key: Key | None, fingerprint: bytes
    ) -> v1.Block | Mismatched:
        return await self._write(blocks.create, self._replica_no, tenant, block, key, fingerprint)

    async def block(self, tenant: str, block_id: str) -> v1.Block | None:
        return await self._readers.submit(blocks.read, tenant, block_id)

    async def list_blocks(self, query: BlockQuery) -> list[v1.Block]:
        return await self._readers.submit(blocks.read_page, query)

    async def update_block(self, tenant: str, block: v1.Block, expected_etag: str, change: str = "") -> BlockChange:
        return await self._write(blocks.update, self._replica_no, tenant, block, expected_etag, change)

    async def delete_block(self, tenant: str, block_id: str) -> bool:
        return await self._write(blocks.delete, self._replica_no, tenant, block_id)

    # -- files --

    async def create_file(
        self, tenant: str, file: v1.File, data: bytes, key: Key | None, fingerprint: bytes
    ) -> v1.File | Mismatched:
        return await self._write(files.create, self._replica_no, tenant, file, data, key, fingerprint)

    async def file(self, tenant: str, file_id: str) -> v1.File | None:
        return await self._readers.submit(files.read, tenant, file_id)

    async def file_data(self, tenant: str, file_id: str) -> bytes | None:
        return await self._readers.submit(files.read_data, tenant, file_id)

    async def list_files(self, tenant: str, after: tuple[int, str] | None, limit: int) -> list[v1.File]:
        return await self._readers.submit(files.read_page, tenant, after, limit)

    async def delete_file(self, tenant: str, file_id: str) -> bool:
        return await self._write(files.delete, self._replica_no, tenant, file_id)

    # -- keys --

    async def api_key_changes(self, after: int) -> ApiKeyChanges:
        return await self._readers.submit(api_keys.changes, after)

    async def note_api_keys_used(self, used: Mapping[str, int]) -> None:
        await self._write(api_keys.note_used, used)

    # -- opening and closing --

    def _create_file(self) -> None:
        """Conversations are nobody else's to read; the log files take over the database's mode."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))

    def _open(self, connection: sqlite3.Connection) -> int:
        now_ns = self._clock.now_ns()
        migrate(connection, now_ns)
        return leases.register(connection, self._replica_id, self._slots, now_ns, alone=self._exclusive)

    async def _leave(self) -> None:
        await self._write(leases.leave, self._replica_no, self._clock.now_ns())

    async def _write(
        self, function: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        try:
            return await self._writer.submit(self._noted, function, args, kwargs)
        finally:
            self._checkpointer.after_write()

    def _noted(
        self,
        connection: sqlite3.Connection,
        function: Callable[..., T],
        args: Sequence[object],
        kwargs: Mapping[str, object],
    ) -> T:
        before = connection.total_changes
        try:
            return function(connection, *args, **kwargs)
        finally:
            self._checkpointer.wanted |= connection.total_changes != before
