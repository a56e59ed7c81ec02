"""Pages of lists: what a list request asks for, and what of the entries that were found makes up its page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeAlias, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server import page_token
from sendoff_server.clock import nanoseconds
from sendoff_server.page_fit import fitting
from sendoff_server.page_token import Cursor
from sendoff_server.validation import limits

ListRequest: TypeAlias = (
    v1.ListAgentsRequest
    | v1.ListAuditEntriesRequest
    | v1.ListBlocksRequest
    | v1.ListConversationsRequest
    | v1.ListDeliveriesRequest
    | v1.ListEndpointsRequest
    | v1.ListFilesRequest
    | v1.ListMessagesRequest
    | v1.ListPendingActionsRequest
    | v1.ListRunMessagesRequest
    | v1.ListRunsRequest
    | v1.ListStepsRequest
    | v1.ListTagsRequest
    | v1.ListToolsRequest
)

Entry = TypeVar("Entry", bound=Message)


class Page:
    """The page that a request asks for: `limit` entries behind `after`, which is None for the first page."""

    def __init__(self, request: ListRequest, default: int, most: int = limits.MAX_PAGE_SIZE) -> None:
        """`default` entries where the request names no number. Raises InvalidRequest for a bad token."""
        self._digest = page_token.digest(request)
        self.after = page_token.read(request.page_token, self._digest)
        self.limit = min(request.page_size or default, most)

    @property
    def enough(self) -> int:
        """So many entries are to be read: with one more than fits it is known whether there is a next page."""
        return self.limit + 1

    def of(self, found: Sequence[tuple[Entry, Cursor]]) -> tuple[Sequence[Entry], str]:
        """The entries of the page, of those found behind `after` with their cursors, and the token of the next page;
        the token is empty if all have been told."""
        entries = fitting([entry for entry, _ in found], self.limit)
        return entries, self.token(found[len(entries) - 1][1]) if len(entries) < len(found) else ""

    def token(self, cursor: Cursor) -> str:
        """The token of the page behind that cursor."""
        return page_token.write(cursor, self._digest)


class _Created(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def create_time(self) -> Timestamp: ...


Resource = TypeVar("Resource", bound=_Created)


def by_time(entries: Iterable[Resource]) -> list[tuple[Resource, Cursor]]:
    """With their cursors in lists that go by time of creation."""
    return [(entry, (nanoseconds(entry.create_time), entry.id)) for entry in entries]
