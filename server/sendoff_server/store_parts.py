"""The store that the settings choose. Beside the engines themselves the only place that knows them."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

from sendoff_server.clock import Clock
from sendoff_server.fairness import share_weights, weights_of
from sendoff_server.settings import Settings
from sendoff_server.store.api_keys import ApiKeyDesk
from sendoff_server.store.batch.dispatch import Caps, TenantCaps
from sendoff_server.store.inspection import Inspection
from sendoff_server.store.port import EngineMissing, Store
from sendoff_server.store.resealing import Renewed
from sendoff_server.store.sqlite import backup, resealing
from sendoff_server.store.sqlite import inspection as sqlite_inspection
from sendoff_server.store.sqlite.engine import SqliteStore
from sendoff_server.store.sqlite.key_desk import SqliteKeyDesk


def store_of(settings: Settings, clock: Clock, tenants: TenantCaps) -> Store:
    """PostgreSQL goes by its own clock. Raises EngineMissing."""
    caps = Caps(per_agent=settings.max_running_per_agent, tenants=tenants)
    weights = weights_of(settings.fairness_weights)
    weights_of_tenant = partial(share_weights, weights) if weights else None
    if settings.postgres_url is not None:
        store: Store = _postgres().PostgresStore(
            settings.postgres_url,
            connections=settings.database_connections,
            caps=caps,
            weights_of=weights_of_tenant,
            slots=settings.max_running,
        )
        return store
    path = settings.database_path
    path.parent.mkdir(parents=True, exist_ok=True)
    return SqliteStore(
        path,
        synchronous=settings.sqlite_synchronous,
        clock=clock,
        caps=caps,
        weights_of=weights_of_tenant,
        slots=settings.max_running,
    )


def key_desk_of(settings: Settings, clock: Clock) -> ApiKeyDesk:
    """Where keys of the store are made and revoked, whether a server runs or not. Raises EngineMissing."""
    if settings.postgres_url is None:
        return SqliteKeyDesk(settings.database_path, clock)
    desk: ApiKeyDesk = _postgres("key_desk").PostgresKeyDesk(settings.postgres_url)
    return desk


async def migrate(postgres_url: str, *, only_check: bool) -> int:
    """Bring a database to this program's schema, or only look whether it has it; the schema's number.

    Raises EngineMissing, NewerSchema, StoreFailed, and OlderSchema where it is only looked at.
    """
    number: int = await _postgres().bring_schema(postgres_url, only_check=only_check)
    return number


def back_up(settings: Settings, target: Path) -> int:
    """Copy a database on SQLite into a new file, beside its server; how many bytes that has.

    Raises BackupRefused, StoreFailed.
    """
    return backup.back_up(settings.database_path, target)


def restore(settings: Settings, source: Path, replace: bool) -> None:
    """Put such a copy in the place of a database on SQLite, of which what was there is kept under another name.

    Raises BackupRefused, NewerSchema, StoreInUse, StoreFailed.
    """
    backup.restore(settings.database_path, source, replace=replace)


async def inspect(settings: Settings) -> Inspection:
    """What there is to say of the database that the settings choose; changes nothing. Raises EngineMissing."""
    url = settings.postgres_url
    if url is None:
        return await asyncio.to_thread(sqlite_inspection.inspect, settings.database_path)
    wanted = settings.database_connections * settings.processes
    found: Inspection = await _postgres("inspection").inspect(url, settings.database_told, wanted)
    return found


async def reseal(settings: Settings, renewed: Renewed) -> None:
    """Write the secrets of all agents and endpoints anew, also beside servers. Raises EngineMissing, StoreFailed."""
    if settings.postgres_url is not None:
        await _postgres("resealing").reseal(settings.postgres_url, renewed)
    else:
        await asyncio.to_thread(resealing.reseal, settings.database_path, renewed)


def _postgres(module: str = "engine") -> ModuleType:
    """A module of the engine, imported only where it is wanted: its driver is not part of every installation."""
    try:
        return import_module(f"sendoff_server.store.postgres.{module}")
    except ModuleNotFoundError as missing:
        raise EngineMissing(
            f"PostgreSQL needs the package {missing.name}, which is not installed: "
            "pip install 'sendoff[server,postgres]'"
        ) from missing
