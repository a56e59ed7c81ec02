"""The store that the settings choose. Beside the engines themselves the only place that knows them."""

from __future__ import annotations

from types import ModuleType

from sendoff_server.clock import Clock
from sendoff_server.fairness import share_of, weights_of
from sendoff_server.settings import Settings
from sendoff_server.store.batch.dispatch import Caps, TenantCaps
from sendoff_server.store.port import DEFAULT_TENANT, EngineMissing, Store
from sendoff_server.store.sqlite.engine import SqliteStore


def store_of(settings: Settings, clock: Clock, tenants: TenantCaps) -> Store:
    """PostgreSQL goes by its own clock. Raises EngineMissing."""
    caps = Caps(per_agent=settings.max_running_per_agent, tenants=tenants)
    weights = {share_of(DEFAULT_TENANT, key): weight for key, weight in weights_of(settings.fairness_weights).items()}
    if settings.postgres_url is not None:
        store: Store = _postgres().PostgresStore(
            settings.postgres_url,
            connections=settings.database_connections,
            caps=caps,
            weights=weights,
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
        weights=weights,
        slots=settings.max_running,
    )


async def migrate(postgres_url: str, *, only_check: bool) -> int:
    """Bring a database to this program's schema, or only look whether it has it; the schema's number.

    Raises EngineMissing, NewerSchema, StoreFailed, and OlderSchema where it is only looked at.
    """
    number: int = await _postgres().bring_schema(postgres_url, only_check=only_check)
    return number


def _postgres() -> ModuleType:
    """The engine, imported only where it is wanted: its driver is not part of every installation."""
    try:
        from sendoff_server.store.postgres import engine
    except ModuleNotFoundError as missing:
        raise EngineMissing(
            f"PostgreSQL needs the package {missing.name}, which is not installed: "
            "pip install 'sendoff[server,postgres]'"
        ) from missing
    return engine
