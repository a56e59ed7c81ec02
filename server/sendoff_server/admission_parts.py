"""Quotas and the guard of memory, put together as the settings say."""

from __future__ import annotations

from sendoff_server.admission.book import Quotas
from sendoff_server.admission.book_file import BookFile
from sendoff_server.admission.memory import limit_bytes, used_bytes
from sendoff_server.admission.memory_guard import MemoryGuard
from sendoff_server.admission.quotas import QuotaAdmission
from sendoff_server.clock import Clock
from sendoff_server.settings import Settings
from sendoff_server.store.port import Store


def book_of(settings: Settings, clock: Clock) -> BookFile:
    """Raises BadQuotas."""
    default = Quotas(
        accepts_per_s=settings.max_accepts_per_s,
        open_runs=settings.max_open_runs,
        runs_under_way=settings.max_running_per_tenant,
        watchers=settings.max_watchers,
        stored_mb=settings.max_stored_mb,
    )
    return BookFile(settings.quotas_path, default, clock)


def memory_guard(settings: Settings, clock: Clock) -> MemoryGuard:
    return MemoryGuard(limit_bytes(settings.max_memory_mb, settings.processes), used_bytes, clock)


def admission_of(settings: Settings, book: BookFile, store: Store, memory: MemoryGuard, clock: Clock) -> QuotaAdmission:
    return QuotaAdmission(
        book,
        store,
        memory,
        clock,
        shared=not store.is_alone,
        waiting_accepts=settings.max_waiting_accepts,
        max_request_bytes=settings.max_request_bytes,
    )
