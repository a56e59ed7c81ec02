"""Pictures that messages can show."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from sendoff import paging, requests, v1
from sendoff.calls.async_caller import AsyncCaller
from sendoff.calls.caller import Caller


class FileCalls(Caller):
    """Of the blocking client."""

    def create_file(
        self,
        data: bytes,
        media_type: str,
        *,
        name: str = "",
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> v1.File:
        """Keep a picture, so that messages can show it by its id (v1.Image.Stored). It never changes."""
        return self._call(requests.create_file(data, media_type, name, request_id), timeout_s)

    def get_file(
        self, file_id: str, *, include_data: bool = False, timeout_s: float | None = None
    ) -> v1.GetFileResponse:
        """What is known of a file, and its bytes if they are wanted."""
        return self._call(requests.get_file(file_id, include_data=include_data), timeout_s)

    def files(self, *, page_size: int = 0) -> Iterator[v1.File]:
        """Files, newest first; further pages are fetched as they are needed."""
        return self._pages(paging.files(page_size))

    def delete_file(self, file_id: str, *, timeout_s: float | None = None) -> None:
        """Delete a file; messages that show it stay. Never repeated by itself, as `delete_agent`."""
        self._call(requests.delete_file(file_id), timeout_s)


class AsyncFileCalls(AsyncCaller):
    """As FileCalls, of the asyncio client."""

    async def create_file(
        self,
        data: bytes,
        media_type: str,
        *,
        name: str = "",
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> v1.File:
        """Keep a picture, so that messages can show it by its id (v1.Image.Stored). It never changes."""
        return await self._call(requests.create_file(data, media_type, name, request_id), timeout_s)

    async def get_file(
        self, file_id: str, *, include_data: bool = False, timeout_s: float | None = None
    ) -> v1.GetFileResponse:
        """What is known of a file, and its bytes if they are wanted."""
        return await self._call(requests.get_file(file_id, include_data=include_data), timeout_s)

    def files(self, *, page_size: int = 0) -> AsyncIterator[v1.File]:
        """Files, newest first; further pages are fetched as they are needed."""
        return self._pages(paging.files(page_size))

    async def delete_file(self, file_id: str, *, timeout_s: float | None = None) -> None:
        """Delete a file; messages that show it stay. Never repeated by itself, as `delete_agent`."""
        await self._call(requests.delete_file(file_id), timeout_s)
