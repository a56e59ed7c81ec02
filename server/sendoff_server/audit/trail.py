"""Writes the entries of calls, for both doors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import structlog

from sendoff_server.access.principal import acting
from sendoff_server.audit import act
from sendoff_server.audit.act import DONE, Act
from sendoff_server.audit.methods import IN_TRANSACTION
from sendoff_server.errors import PermissionDenied, ServiceError, StoreUnavailable
from sendoff_server.store.group_commit import GroupCommit
from sendoff_server.store.port import Fenced, Poisoned, StoreFailed

FAILED = "INTERNAL"

log = structlog.get_logger(__name__)


class Trail:
    """Where calls leave their entries."""

    def __init__(self, commits: GroupCommit) -> None:
        self._commits = commits

    @asynccontextmanager
    async def noting(self, method: str, address: str, named: Iterable[str]) -> AsyncIterator[Act]:
        """Inside the block the call is made, by who is acting. Its errors go on.

        Raises StoreUnavailable, with nothing done, if the entry that has to be there before cannot be written.
        """
        made = Act(acting(), method, address, in_transaction=method in IN_TRANSACTION)
        if not made.in_transaction:  # else what is submitted tells what the call is about
            made.names(named)
            await self._commits.submit(made.note())
        act.begin(made)
        outcome = FAILED
        try:
            yield made
            outcome = DONE
        except ServiceError as error:
            outcome = error.reason
            raise
        except asyncio.CancelledError:
            outcome = ""  # whether it was done is not known
            raise
        finally:
            made.is_over = True
            await self._complete(made, outcome)

    async def _complete(self, made: Act, outcome: str) -> None:
        """What is written in its transaction needs nothing more, unless the call was not allowed after all."""
        if outcome == PermissionDenied.reason or (outcome and not made.in_transaction):
            await self._written(made, outcome)

    async def denied(self, method: str, address: str, named: Iterable[str] = ()) -> None:
        """Who is acting may not make this call."""
        made = Act(acting(), method, address, in_transaction=False)
        made.names(named)
        await self._written(made, PermissionDenied.reason)

    async def _written(self, made: Act, outcome: str) -> None:
        """The call has its answer whether or not this can be written."""
        try:
            await self._commits.submit(made.note(outcome))
        except (StoreUnavailable, StoreFailed, Poisoned, Fenced) as failure:
            log.warning("an entry of the audit has no outcome", error=str(failure), method=made.method)
