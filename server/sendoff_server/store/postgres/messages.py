"""The messages of lanes: those that its own runs wrote, and in front of them what a fork has inherited.

Inherited messages lie where their runs wrote them; they are told under the lane that asks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator

from sendoff import v1
from sendoff_server.store.items import LeftOut
from sendoff_server.store.port import INPUT_PLACE
from sendoff_server.store.postgres.connection import Connection
from sendoff_server.store.postgres.queries import named
from sendoff_server.store.questions import History

# Runs with their last place that is shown: of those that are left out, the one in front of their input.
_WHAT = "coalesce((SELECT what FROM left_out WHERE run_no = run.no), 0)"
_OWN = (
    "SELECT lane_no, seq, no, {what} AS left_out, "
    "CASE WHEN {what} >= {hidden} THEN {settled} ELSE 1048575 END AS last_place FROM run"
)
_INHERITED = (
    "SELECT lane_no, seq, run_no AS no, left_out, "
    "CASE WHEN left_out >= {hidden} THEN least(last_place, {settled}) ELSE last_place END AS last_place FROM inherited"
)


def _shown(runs: str, hidden: LeftOut) -> str:
    """Of these runs what is shown, if what is left out like that, or more, is not."""
    return runs.format(what=_WHAT, hidden=hidden.value, settled=INPUT_PLACE - 1)


OWN = _shown(_OWN, LeftOut.CONVERSATION)
ENDED = f"{OWN} WHERE status > 2"
INHERITED = _shown(_INHERITED, LeftOut.CONVERSATION)
OWN_CONTEXT = _shown(_OWN, LeftOut.CONTEXT)
INHERITED_CONTEXT = _shown(_INHERITED, LeftOut.CONTEXT)

LAST_POSITION = (1 << 63) - 1

_PAGE_BYTES = 4 * 1024 * 1024
_HISTORY_PAGE = 64


async def history(connection: Connection, lane: str, before_position: int, max_bytes: int) -> History:
    """Stops where the bytes or the newest compaction do: a long history costs what is taken of it."""
    newest_first: list[v1.Message] = []
    compaction: v1.Message | None = None
    is_whole = True
    async for runs, position, body in _backwards(connection, lane, before_position, max_bytes):
        if compaction is not None and position < compaction.context_start:
            break
        if body is None:
            is_whole = False
            break
        for message in _told(runs, lane, [body]):
            newest_first.append(message)
            compaction = compaction or (message if message.HasField("context_start") else None)
    return History(newest_first[::-1], is_whole, compaction)


async def _backwards(
    connection: Connection, lane: str, before_position: int, max_bytes: int
) -> AsyncIterator[tuple[str, int, bytes | None]]:
    """The messages of a lane, newest first, read a page at a time: each with the runs it is of, its position, and its
    body, unless the bytes up to and with it are more than `max_bytes`."""
    taken, inherits = 0, True
    for runs in (OWN_CONTEXT, INHERITED_CONTEXT):
        page_end, found = before_position, None
        while found is None or len(found) == _HISTORY_PAGE:
            values = (lane, page_end, _HISTORY_PAGE, max_bytes - taken)
            found = await connection.fetch(named("history", runs=runs), *values)
            for position, _, body, _ in found:
                yield runs, position, body
            if found:
                page_end, total, _, inherits = found[-1]
                taken += total
        if not inherits:
            return


async def page(
    connection: Connection,
    tenant: str,
    lane: str,
    after_position: int | None,
    limit: int,
    newest_first: bool,
) -> list[v1.Message]:
    """What is inherited and what is own are never on one page."""
    order, behind, first = ("DESC", "<", LAST_POSITION) if newest_first else ("ASC", ">", -1)
    position = first if after_position is None else after_position
    for runs in (OWN, INHERITED) if newest_first else (INHERITED, OWN):
        statement = named("messages", runs=runs, order=order, behind=behind)
        rows = await connection.fetch(statement, tenant, lane, position, limit, _PAGE_BYTES)
        if rows:
            return list(_told(runs, lane, (body for (body,) in rows)))
    return []


async def position_of(connection: Connection, tenant: str, lane: str, message_id: str) -> int | None:
    for runs in (ENDED, INHERITED):
        found = await connection.fetchval(named("message_position", runs=runs), tenant, lane, message_id)
        if found is not None:
            return int(found)
    return None


def _told(runs: str, lane: str, bodies: Iterable[bytes]) -> Iterator[v1.Message]:
    messages = map(v1.Message.FromString, bodies)
    return inherited_by(lane, messages) if runs in (INHERITED, INHERITED_CONTEXT) else messages


def inherited_by(lane: str, messages: Iterable[v1.Message]) -> Iterator[v1.Message]:
    """These, which were read for it, as messages of that lane."""
    for message in messages:
        message.conversation_id = lane
        yield message
