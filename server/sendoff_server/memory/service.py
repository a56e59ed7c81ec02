"""What callers can do with memory blocks. Both doors call this; messages of `sendoff.v1` go in and out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from sendoff import v1
from sendoff_server import ids, validation
from sendoff_server.clock import Clock, timestamp
from sendoff_server.errors import BlockNotFound, EtagMismatch, IdempotencyMismatch
from sendoff_server.memory.agent_memory import Agents
from sendoff_server.memory.directory import BlockDirectory
from sendoff_server.page_fit import MAX_PAGE_BYTES
from sendoff_server.page_token import Cursor
from sendoff_server.paging import Page, by_time
from sendoff_server.store.items import Key, Mismatched
from sendoff_server.store.port import Store
from sendoff_server.store.questions import BlockChange, BlockQuery
from sendoff_server.validation import limits

DEFAULT_PAGE = 50
_READ = 20
"""Blocks that are read at once: each may be a megabyte."""


class BlockService:
    """The use cases of memory blocks."""

    def __init__(self, store: Store, blocks: BlockDirectory, agents: Agents, clock: Clock) -> None:
        self._store = store
        self._blocks = blocks
        self._agents = agents
        self._clock = clock

    async def create(self, tenant: str, request: v1.CreateBlockRequest) -> v1.Block:
        validation.check_create_block(request)
        key = Key("block", request.request_id) if request.request_id else None
        fingerprint = hashlib.blake2b(request.block.SerializeToString(deterministic=True), digest_size=16).digest()
        created = await self._store.create_block(tenant, self._new(request.block), key, fingerprint)
        if isinstance(created, Mismatched):
            raise IdempotencyMismatch(created.key.value, created.run_id)
        return created

    def _new(self, wanted: v1.Block) -> v1.Block:
        block = v1.Block()
        block.CopyFrom(wanted)
        block.id = ids.new("block")
        block.limit = wanted.limit or limits.DEFAULT_BLOCK_CHARACTERS
        now = timestamp(self._clock.now_ns())
        block.create_time.CopyFrom(now)
        block.update_time.CopyFrom(now)
        block.etag = ids.etag()
        return block

    async def get(self, tenant: str, request: v1.GetBlockRequest) -> v1.Block:
        validation.check_get_block(request)
        return await self._found(tenant, request.block_id)

    async def list(self, tenant: str, request: v1.ListBlocksRequest) -> v1.ListBlocksResponse:
        validation.check_list_blocks(request)
        page = Page(request, DEFAULT_PAGE)
        read = self._of_agent if request.HasField("agent_id") else self._of_all
        blocks, token = page.of(await read(tenant, request, page.after, page.limit))
        return v1.ListBlocksResponse(blocks=blocks, next_page_token=token)

    async def _of_agent(
        self, tenant: str, request: v1.ListBlocksRequest, after: Cursor | None, limit: int
    ) -> Sequence[tuple[v1.Block, Cursor]]:
        """The agent's blocks from there on, more than fit on a page if there are more, each with its cursor: its place
        among the agent's."""
        agent = await self._agents.find(tenant, request.agent_id)
        found: list[tuple[v1.Block, Cursor]] = []
        size = 0
        for place in range(after[0] + 1 if after else 0, len(agent.block_ids)):
            if len(found) > limit or size > MAX_PAGE_BYTES:
                break
            block = await self._blocks.find(tenant, agent.block_ids[place])
            if block is not None and _matches(block, request):
                found.append((block, (place, block.id)))
                size += block.ByteSize()
        return found

    async def _of_all(
        self, tenant: str, request: v1.ListBlocksRequest, after: Cursor | None, limit: int
    ) -> Sequence[tuple[v1.Block, Cursor]]:
        """As `_of_agent`, by time; the cursor is time and id."""
        found: list[tuple[v1.Block, Cursor]] = []
        size = 0
        while len(found) <= limit and size <= MAX_PAGE_BYTES:
            count = min(_READ, limit + 1 - len(found))
            blocks = await self._store.list_blocks(_query(tenant, request, after, count))
            found += by_time(blocks)
            size += sum(block.ByteSize() for block in blocks)
            if len(blocks) < count:
                break
            after = found[-1][1]
        return found

    async def update(self, tenant: str, request: v1.UpdateBlockRequest) -> v1.Block:
        """Change a block. A change made by somebody else meanwhile, an agent's tool for one, is not overwritten when
        the caller sent an etag; without one the fields of this request are put upon whatever is there."""
        validation.check_update_block(request)
        fields = request.update_mask.paths if request.HasField("update_mask") else _not_empty(request.block)
        while True:
            current = await self._found(tenant, request.block_id)
            if request.block.etag not in ("", current.etag):
                raise EtagMismatch(request.block_id, request.block.etag)
            changed = self._changed(current, request.block, fields)
            validation.check_block_fits(changed, fields)
            if await self._blocks.update(tenant, changed, current.etag) is BlockChange.CHANGED:
                return changed

    def _changed(self, current: v1.Block, wanted: v1.Block, fields: Sequence[str]) -> v1.Block:
        block = v1.Block()
        block.CopyFrom(current)
        FieldMask(paths=fields).MergeMessage(wanted, block, replace_message_field=True, replace_repeated_field=True)
        block.limit = block.limit or limits.DEFAULT_BLOCK_CHARACTERS
        block.update_time.CopyFrom(timestamp(self._clock.now_ns()))
        block.etag = ids.etag()
        return block

    async def delete(self, tenant: str, request: v1.DeleteBlockRequest) -> v1.DeleteBlockResponse:
        validation.check_delete_block(request)
        if not await self._blocks.delete(tenant, request.block_id):
            raise BlockNotFound(request.block_id)
        return v1.DeleteBlockResponse()

    async def _found(self, tenant: str, block_id: str) -> v1.Block:
        block = await self._blocks.find(tenant, block_id)
        if block is None:
            raise BlockNotFound(block_id)
        return block


def _query(tenant: str, request: v1.ListBlocksRequest, after: Cursor | None, limit: int) -> BlockQuery:
    return BlockQuery(
        tenant=tenant,
        label=request.label if request.HasField("label") else None,
        label_search=request.label_search,
        value_search=request.value_search,
        description_search=request.description_search,
        tags=request.tags,
        match_all_tags=request.match_all_tags,
        newest_first=request.order_by in ("", "create_time desc"),
        after=after,
        limit=limit,
    )


def _matches(block: v1.Block, request: v1.ListBlocksRequest) -> bool:
    """As the store finds blocks by `_query`."""
    has = [tag in block.tags for tag in request.tags] or [True]
    return (
        (not request.HasField("label") or block.label == request.label)
        and request.label_search.casefold() in block.label.casefold()
        and request.value_search.casefold() in block.value.casefold()
        and request.description_search.casefold() in block.description.casefold()
        and (all(has) if request.match_all_tags else any(has))
    )


def _not_empty(block: v1.Block) -> list[str]:
    return [field.name for field, _ in block.ListFields() if field.name in validation.BLOCK_UPDATABLE]
