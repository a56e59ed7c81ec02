"""Writes down what the store is asked for a call: whoever is told the same after other questions can tell by the time
that it takes."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from sendoff_server.access.principal import acting
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.port import Store
from sendoff_server.store.postgres.engine import PostgresStore
from sendoff_server.store.sqlite.engine import SqliteStore

_NOW_AND_THEN = {"count_open"}
"""Asked for a tenant once in a while, whatever the call that comes then is about."""
_VERBS = [
    name
    for name, _ in inspect.getmembers(Store, inspect.iscoroutinefunction)
    if not name.startswith("_") and name not in _NOW_AND_THEN
]


class Questions:
    """Asked of the store, in order, by the id of the credential for whose call they are."""

    def __init__(self) -> None:
        self._of: dict[str, list[str]] = defaultdict(list)

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        """From now on, in this process."""
        for engine in (SqliteStore, PostgresStore):
            for verb in _VERBS:
                patch.setattr(engine, verb, self._noting(verb, getattr(engine, verb)))
        submit = GroupCommit.submit

        def noted(commits: GroupCommit, item: Any) -> Any:
            self._note(type(item).__name__)
            return submit(commits, item)

        patch.setattr(GroupCommit, "submit", noted)

    def of(self, key_id: str) -> Sequence[str]:
        return list(self._of[key_id])

    def _noting(self, verb: str, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        async def noted(store: Any, *args: Any, **named: Any) -> Any:
            self._note(verb)
            return await behaviour(store, *args, **named)

        return noted

    def _note(self, verb: str) -> None:
        try:
            self._of[acting().key_id].append(verb)
        except LookupError:  # nobody's call: the server's own work
            return
