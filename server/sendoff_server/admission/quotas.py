"""Lets through what tenants and keys may have, and tells what they have."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

from sendoff import v1
from sendoff_server.access.principal import acting
from sendoff_server.admission.book import NO_QUOTAS, Quotas
from sendoff_server.admission.book_file import BookFile
from sendoff_server.admission.memory_guard import MemoryGuard, Pressure
from sendoff_server.admission.open_runs import Counted as CountsRuns
from sendoff_server.admission.open_runs import OpenRuns
from sendoff_server.admission.rates import Rates
from sendoff_server.admission.room import Room
from sendoff_server.admission.stored_bytes import BYTES_PER_MB, StoredBytes
from sendoff_server.admission.stored_bytes import Stores as CountsBytes
from sendoff_server.admission_port import Admission
from sendoff_server.clock import Clock
from sendoff_server.errors import Overloaded, QuotaExceeded, ServiceError

NO_MEMORY = "its memory is nearly used up"
TOO_MUCH_AT_ONCE = "more requests came at once than it can work on"
_MEMORY_BACK_S = 5.0


class Stores(CountsRuns, CountsBytes, Protocol):
    """Where is counted what is not known here."""


class QuotaAdmission(Admission):
    """Asks the book what a tenant and a key may have. Counts accepts a second and watchers in this process only."""

    def __init__(
        self,
        book: BookFile,
        store: Stores,
        guard: MemoryGuard,
        clock: Clock,
        *,
        shared: bool,
        waiting_accepts: int,
        max_request_bytes: int,
    ) -> None:
        """`shared`: other processes use the store too."""
        self._book = book
        self._guard = guard
        self._rates = Rates(clock)
        self._open = OpenRuns(store, clock, shared=shared)
        self._stored = StoredBytes(store, clock)
        self._room = Room(waiting_accepts, TOO_MUCH_AT_ONCE)
        self._max_request_bytes = max_request_bytes
        self._watchers: Counter[str] = Counter()
        self.refused: Counter[tuple[str, str]] = Counter()
        """How often, by reason and by quota, which is empty where there is none."""

    @property
    def places_left(self) -> int:
        """For requests that make runs."""
        return self._room.free

    def count_anew(self) -> None:
        """Forget what is known of what tenants have stored."""
        self._stored.forget()

    # ---- what use cases ask ----

    @asynccontextmanager
    async def accepting(self, tenant: str, *, answers: bool = False) -> AsyncIterator[None]:
        """Answers count against rates alone: what is in the way of anything else may be waiting for them."""
        quotas, is_in = self._book.of_tenant(tenant), False
        try:
            if self._guard.pressure is Pressure.NO_ACCEPTS and not answers:
                raise Overloaded(NO_MEMORY, _MEMORY_BACK_S)
            with self._room.place(tenant):
                self._rates.take(((f"tenant:{tenant}", quotas), *self._of_key()))
                if quotas.stored_mb and not answers:
                    await self._stored.check(tenant, quotas.stored_mb)
                # Two ways in instead of a stack of contexts, which would cost more than all the rest.
                if quotas.open_runs and not answers:
                    async with self._open.one_more(tenant, quotas.open_runs):
                        is_in = True
                        yield
                else:
                    is_in = True
                    yield
        except ServiceError as error:
            if not is_in:
                self._note(error)
            raise

    async def check_storing(self, tenant: str) -> None:
        with self._counting_refusals():
            if most_mb := self._book.of_tenant(tenant).stored_mb:
                await self._stored.check(tenant, most_mb)

    @contextmanager
    def watching(self, tenant: str, *, through_need: bool = False) -> Iterator[None]:
        if not through_need:
            self.check_watching(tenant)
        subjects = [subject for subject, quotas in self._subjects(tenant) if quotas.watchers]
        self._watchers.update(subjects)
        try:
            yield
        finally:
            for subject in subjects:
                self._watchers[subject] -= 1
                if not self._watchers[subject]:
                    del self._watchers[subject]

    def check_watching(self, tenant: str) -> None:
        with self._counting_refusals():
            if self._guard.pressure is not Pressure.NONE:
                raise Overloaded(NO_MEMORY, _MEMORY_BACK_S)
            for subject, quotas in self._subjects(tenant):
                if quotas.watchers and self._watchers[subject] >= quotas.watchers:
                    raise QuotaExceeded("watchers", subject, quotas.watchers)

    # ---- what doors ask ----

    def most_request_bytes(self) -> int:
        """Of the caller whose request is to be looked at."""
        own = [quotas.request_bytes for _, quotas in self._subjects(acting().tenant) if quotas.request_bytes]
        return min((self._max_request_bytes, *own))

    # ---- what is told ----

    async def told(self, tenant: str) -> list[v1.Quota]:
        """The quotas that count for the caller, with what is used of them."""
        told = [quota for subject, quotas in self._subjects(tenant) for quota in self._told(subject, quotas)]
        of_tenant, subject = self._book.of_tenant(tenant), f"tenant:{tenant}"
        if most := of_tenant.stored_mb:
            used_mb = await self._stored.used(tenant, most) / BYTES_PER_MB
            told.append(v1.Quota(name="stored_mb", subject=subject, limit=most, used=round(used_mb, 3)))
        if most := of_tenant.open_runs:
            used = await self._open.used(tenant, most)
            told.append(v1.Quota(name="open_runs", subject=subject, limit=most, used=used))
        return told

    def _told(self, subject: str, quotas: Quotas) -> Iterator[v1.Quota]:
        if quotas.accepts_per_s:
            yield v1.Quota(name="accepts_per_s", subject=subject, limit=quotas.accepts_per_s, per_process=True)
        if quotas.runs_under_way:
            yield v1.Quota(name="runs_under_way", subject=subject, limit=quotas.runs_under_way)
        if quotas.watchers:
            used = self._watchers[subject]
            yield v1.Quota(name="watchers", subject=subject, limit=quotas.watchers, used=used, per_process=True)
        if quotas.request_bytes:
            yield v1.Quota(name="request_bytes", subject=subject, limit=quotas.request_bytes)

    # ---- whose quotas count ----

    def _subjects(self, tenant: str) -> tuple[tuple[str, Quotas], ...]:
        return (f"tenant:{tenant}", self._book.of_tenant(tenant)), *self._of_key()

    def _of_key(self) -> tuple[tuple[str, Quotas], ...]:
        """Of the key that the call was made with, if there are any for it."""
        try:
            key_id = acting().key_id
        except LookupError:  # what the server does by itself is done for a tenant, and by nobody's key
            return ()
        quotas = self._book.of_key(key_id) if key_id else NO_QUOTAS
        return () if quotas is NO_QUOTAS else ((f"key:{key_id}", quotas),)

    @contextmanager
    def _counting_refusals(self) -> Iterator[None]:
        try:
            yield
        except ServiceError as error:
            self._note(error)
            raise

    def _note(self, error: ServiceError) -> None:
        self.refused[error.reason, error.quota if isinstance(error, QuotaExceeded) else ""] += 1
