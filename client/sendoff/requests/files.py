"""Requests about files."""

from __future__ import annotations

from sendoff import methods, v1
from sendoff.methods import Call
from sendoff.requests.request_ids import new_request_id


def create_file(data: bytes, media_type: str, name: str, request_id: str | None) -> Call[v1.CreateFileRequest, v1.File]:
    """CreateFile, with a request_id in any case."""
    file = v1.File(name=name, media_type=media_type)
    request = v1.CreateFileRequest(file=file, data=data, request_id=request_id or new_request_id())
    return Call(methods.CREATE_FILE, request, is_repeatable=True)


def get_file(file_id: str, *, include_data: bool) -> Call[v1.GetFileRequest, v1.GetFileResponse]:
    return methods.GET_FILE.call(v1.GetFileRequest(file_id=file_id, include_data=include_data))


def delete_file(file_id: str) -> Call[v1.DeleteFileRequest, v1.DeleteFileResponse]:
    return methods.DELETE_FILE.call(v1.DeleteFileRequest(file_id=file_id))
