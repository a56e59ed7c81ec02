"""Rules of the requests of `FileService`."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.validation.content import check_image_bytes, check_media_type
from sendoff_server.validation.limits import MAX_KEY_CHARACTERS
from sendoff_server.validation.rules import FILE_ID, check_id, check_length, check_no_control_characters, check_number
from sendoff_server.validation.violations import Violations

_NAME_CHARACTERS = 255


def check_create_file(request: v1.CreateFileRequest) -> None:
    found = Violations()
    if request.HasField("file"):
        _check_file(found, request.file)
    else:
        found.add("file", "must be set")
    check_image_bytes(found, "data", request.data)
    if request.HasField("request_id"):
        check_length(found, "request_id", request.request_id, least=1, most=MAX_KEY_CHARACTERS)
    found.refuse()


def check_get_file(request: v1.GetFileRequest) -> None:
    found = Violations()
    check_id(found, "file_id", request.file_id, FILE_ID)
    found.refuse()


def check_list_files(request: v1.ListFilesRequest) -> None:
    found = Violations()
    check_number(found, "page_size", request.page_size, least=0)
    found.refuse()


def check_delete_file(request: v1.DeleteFileRequest) -> None:
    found = Violations()
    check_id(found, "file_id", request.file_id, FILE_ID)
    found.refuse()


def _check_file(found: Violations, file: v1.File) -> None:
    check_length(found, "file.name", file.name, most=_NAME_CHARACTERS)
    check_no_control_characters(found, "file.name", file.name)
    check_media_type(found, "file.media_type", file.media_type)
    for name, is_set in {
        "id": file.id,
        "size_bytes": file.size_bytes,
        "create_time": file.HasField("create_time"),
    }.items():
        if is_set:
            found.add(f"file.{name}", "is made by the server")
