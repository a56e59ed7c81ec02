"""The desk for keys of a database that servers share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from sendoff_server.store.api_keys import ApiKey, ApiKeyDesk
from sendoff_server.store.postgres import api_keys, migrations
from sendoff_server.store.postgres.connection import Connection, check_session, failures, opened, pool, sought

P = ParamSpec("P")
T = TypeVar("T")


class PostgresKeyDesk(ApiKeyDesk):
    """Each act has a connection of its own. Migrates a database that lacks migrations."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def add(self, key: ApiKey) -> None:
        await self._do(api_keys.add, key)

    async def all(self, tenant: str | None) -> Sequence[ApiKey]:
        return await self._do(api_keys.read_all, tenant)

    async def revoke(self, key_id: str, now_ns: int) -> ApiKey | None:
        return await self._do(api_keys.revoke, key_id, now_ns)

    async def _do(
        self, function: Callable[Concatenate[Connection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Raises StoreFailed, NewerSchema."""
        with failures():
            async with opened(connections := pool(self._dsn, 1)), connections.acquire() as connection:
                await check_session(connection)
                await migrations.migrate(connection)
                return await function(connection, *map(sought, args), **kwargs)  # type: ignore[arg-type]
