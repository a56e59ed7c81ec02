"""BlockService over gRPC."""

from __future__ import annotations

from sendoff import v1
from sendoff.v1.block_service_pb2_grpc import BlockServiceServicer
from sendoff_server.access.principal import acting
from sendoff_server.api.status import Context
from sendoff_server.memory.service import BlockService


class BlockServicer(BlockServiceServicer):
    """Hands calls to the use cases."""

    def __init__(self, blocks: BlockService) -> None:
        self._blocks = blocks

    async def CreateBlock(self, request: v1.CreateBlockRequest, context: Context) -> v1.Block:
        return await self._blocks.create(acting().tenant, request)

    async def GetBlock(self, request: v1.GetBlockRequest, context: Context) -> v1.Block:
        return await self._blocks.get(acting().tenant, request)

    async def ListBlocks(self, request: v1.ListBlocksRequest, context: Context) -> v1.ListBlocksResponse:
        return await self._blocks.list(acting().tenant, request)

    async def UpdateBlock(self, request: v1.UpdateBlockRequest, context: Context) -> v1.Block:
        return await self._blocks.update(acting().tenant, request)

    async def DeleteBlock(self, request: v1.DeleteBlockRequest, context: Context) -> v1.DeleteBlockResponse:
        return await self._blocks.delete(acting().tenant, request)
