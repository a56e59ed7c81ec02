"""FileService over gRPC."""

from __future__ import annotations

from sendoff import v1
from sendoff.v1.file_service_pb2_grpc import FileServiceServicer
from sendoff_server.access.principal import acting
from sendoff_server.agents.file_service import FileService
from sendoff_server.api.status import Context


class FileServicer(FileServiceServicer):
    """Hands calls to the use cases."""

    def __init__(self, files: FileService) -> None:
        self._files = files

    async def CreateFile(self, request: v1.CreateFileRequest, context: Context) -> v1.File:
        return await self._files.create(acting().tenant, request)

    async def GetFile(self, request: v1.GetFileRequest, context: Context) -> v1.GetFileResponse:
        return await self._files.get(acting().tenant, request)

    async def ListFiles(self, request: v1.ListFilesRequest, context: Context) -> v1.ListFilesResponse:
        return await self._files.list(acting().tenant, request)

    async def DeleteFile(self, request: v1.DeleteFileRequest, context: Context) -> v1.DeleteFileResponse:
        return await self._files.delete(acting().tenant, request)
