"""The outbox, as it is handed out: due rows are found, then taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sendoff import v1
from sendoff_server.store.batch.outbox import kind_of
from sendoff_server.store.postgres import endpoints
from sendoff_server.store.postgres.connection import Connection, fenced, sought
from sendoff_server.store.postgres.queries import named
from sendoff_server.store.questions import Delivery, Endpoint, Outbox, receiver_of


async def due(
    connection: Connection, now_ns: int, limit: int, per_receiver: int, room: Mapping[str, int]
) -> Sequence[int]:
    """Numbers of deliveries with a URL that could be taken."""
    chosen: list[int] = []
    count: Counter[str] = Counter()
    for no, receiver in await connection.fetch(named("due_deliveries"), now_ns, per_receiver):
        name = receiver.decode()
        if count[name] < room.get(name, per_receiver) and len(chosen) < limit:
            count[name] += 1
            chosen.append(no)
    return chosen


async def due_pulled(connection: Connection, tenant: str, endpoint_id: str, now_ns: int, limit: int) -> Sequence[int]:
    return [no for (no,) in await connection.fetch(named("due_pulled"), tenant, endpoint_id, now_ns, limit)]


async def take(connection: Connection, replica_no: int, numbers: Sequence[int], now_ns: int) -> list[Delivery]:
    """Take those that nobody has taken meanwhile."""
    async with fenced(connection, replica_no):
        taken = await connection.fetch(named("take_deliveries"), replica_no, numbers, now_ns)
        return await _Taken(connection).read([no for (no,) in taken])


class _Taken:
    """Deliveries that are handed out together: what they share is read once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._runs: dict[int, v1.Run] = {}
        self._endpoints: dict[int, Endpoint] = {}
        self._signers: dict[tuple[str, str], Endpoint | None] = {}

    async def read(self, numbers: Sequence[int]) -> list[Delivery]:
        rows = await self._connection.fetch(named("taken_deliveries"), numbers)
        return [await self._delivery(*row) for row in rows]

    async def _delivery(
        self,
        delivery_id: str,
        tenant: str,
        kind: int,
        sequence: int,
        run_no: int,
        run_body: bytes,
        own_url: bytes | None,
        endpoint_no: int | None,
        endpoint_body: bytes | None,
        secrets: str | None,
        window_ns: int,
        attempts: int,
    ) -> Delivery:
        run = self._run(run_no, run_body)
        endpoint = self._endpoint(endpoint_no, endpoint_body, secrets)
        url = endpoint.told.url if endpoint is not None else (own_url or b"").decode()
        return Delivery(
            id=delivery_id,
            tenant=tenant,
            kind=kind_of(kind),
            sequence=sequence,
            run=run,
            url=url,
            receiver=receiver_of(url) if url else "",
            endpoint=endpoint,
            signed_by=endpoint or await self._signer(tenant, run.callback),
            create_ns=window_ns,
            attempts=attempts,
        )

    def _run(self, no: int, body: bytes) -> v1.Run:
        if no not in self._runs:
            self._runs[no] = v1.Run.FromString(body)
        return self._runs[no]

    def _endpoint(self, no: int | None, body: bytes | None, secrets: str | None) -> Endpoint | None:
        if no is None or body is None or secrets is None:
            return None
        if no not in self._endpoints:
            self._endpoints[no] = endpoints.told(body, secrets)
        return self._endpoints[no]

    async def _signer(self, tenant: str, callback: v1.CallbackSummary) -> Endpoint | None:
        """Whose secrets sign a run's own callback."""
        if not callback.HasField("secret_id"):
            return None
        key = tenant, callback.secret_id
        if key not in self._signers:
            self._signers[key] = await endpoints.read(self._connection, tenant, str(sought(callback.secret_id)))
        return self._signers[key]


async def count(connection: Connection) -> Outbox:
    own, has_endpoints = await connection.fetchrow(named("outbox")) or (0, False)
    return Outbox(open=own, has_endpoints=has_endpoints)
