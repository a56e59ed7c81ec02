"""What callers can do with files. Both doors call this; messages of `sendoff.v1` go in and out."""

from __future__ import annotations

import hashlib

from sendoff import v1
from sendoff_server import ids, validation
from sendoff_server.admission_port import Admission
from sendoff_server.clock import Clock, timestamp
from sendoff_server.errors import FileNotFound, IdempotencyMismatch
from sendoff_server.paging import Page, by_time
from sendoff_server.store.items import Key, Mismatched
from sendoff_server.store.port import Store

DEFAULT_PAGE = 50


class FileService:
    """The use cases of files: pictures that are kept once and shown by their id. A file never changes."""

    def __init__(self, store: Store, admission: Admission, clock: Clock) -> None:
        self._store = store
        self._admission = admission
        self._clock = clock

    async def create(self, tenant: str, request: v1.CreateFileRequest) -> v1.File:
        """Raises QuotaExceeded, InvalidRequest, IdempotencyMismatch."""
        validation.check_create_file(request)
        await self._admission.check_storing(tenant)
        file = v1.File(
            id=ids.new("file"),
            name=request.file.name,
            media_type=request.file.media_type,
            size_bytes=len(request.data),
            create_time=timestamp(self._clock.now_ns()),
        )
        key = Key("file", request.request_id) if request.request_id else None
        created = await self._store.create_file(tenant, file, request.data, key, _fingerprint(request))
        if isinstance(created, Mismatched):
            raise IdempotencyMismatch(created.key.value, created.run_id)
        return created

    async def get(self, tenant: str, request: v1.GetFileRequest) -> v1.GetFileResponse:
        validation.check_get_file(request)
        file = await self.find(tenant, request.file_id)
        if not request.include_data:
            return v1.GetFileResponse(file=file)
        data = await self._store.file_data(tenant, request.file_id)
        if data is None:  # deleted between the two looks
            raise FileNotFound(request.file_id)
        return v1.GetFileResponse(file=file, data=data)

    async def find(self, tenant: str, file_id: str) -> v1.File:
        """What is known of a file. Raises FileNotFound."""
        file = await self._store.file(tenant, file_id)
        if file is None:
            raise FileNotFound(file_id)
        return file

    async def list(self, tenant: str, request: v1.ListFilesRequest) -> v1.ListFilesResponse:
        validation.check_list_files(request)
        page = Page(request, DEFAULT_PAGE)
        files, token = page.of(by_time(await self._store.list_files(tenant, page.after, page.enough)))
        return v1.ListFilesResponse(files=files, next_page_token=token)

    async def delete(self, tenant: str, request: v1.DeleteFileRequest) -> v1.DeleteFileResponse:
        """Delete a file. Entries that show it stay, and models are told that the picture is gone (`pictures`)."""
        validation.check_delete_file(request)
        if not await self._store.delete_file(tenant, request.file_id):
            raise FileNotFound(request.file_id)
        return v1.DeleteFileResponse()


def _fingerprint(request: v1.CreateFileRequest) -> bytes:
    """Digest of all that makes two requests the same."""
    digest = hashlib.blake2b(request.file.SerializeToString(deterministic=True), digest_size=16)
    digest.update(hashlib.blake2b(request.data, digest_size=32).digest())
    return digest.digest()
