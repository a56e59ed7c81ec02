"""As much of a store as lists of messages need: one list, and the steps of its run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from sendoff import v1
from sendoff_server.message_types import message_type
from sendoff_server.store.port import POSITION_SHIFT
from sendoff_server.store.questions import Listed, MessageQuery, MessageScope


class Lists:
    """Entries by the id of the run that wrote them, in order. A read gives so many messages at most."""

    def __init__(self, entries: dict[str, Sequence[v1.Message]], most: int = 7) -> None:
        self._lists = {run_id: _listed(of_run) for run_id, of_run in entries.items()}
        self._most = most
        self.reads = 0

    async def list_messages(self, query: MessageQuery) -> list[Listed]:
        self.reads += 1
        found = [each for each in self._lists.get(query.of.run_id or "", []) if _is_in(each, query)]
        ordered = found[::-1] if query.newest_first else found
        return ordered[: min(query.limit, self._most)]

    async def message_place(self, of: MessageScope, message_id: str) -> int | None:
        places = {each.entries[0].id: each.place for each in self._lists[of.run_id or ""]}
        return places.get(message_id)

    async def step(self, tenant: str, step_id: str) -> v1.Step | None:
        for run_id, listed in self._lists.items():
            for each in listed:
                for entry in each.entries:
                    if entry.step_id == step_id and each.place >= 1 << 10:
                        return v1.Step(id=step_id, run_id=run_id, index=(each.place >> 10) - 1)
        return None


def _listed(entries: Sequence[v1.Message]) -> list[Listed]:
    groups = [list(group) for _, group in groupby(entries, key=lambda entry: entry.id)]
    return [Listed(group[0].position & ((1 << POSITION_SHIFT) - 1), group) for group in groups]


def _is_in(listed: Listed, query: MessageQuery) -> bool:
    newer_than = -1 if query.newer_than is None else query.newer_than
    older_than = 1 << 62 if query.older_than is None else query.older_than
    types = {message_type(entry) for entry in listed.entries}
    return newer_than < listed.place < older_than and (not query.types or bool(types & set(query.types)))
