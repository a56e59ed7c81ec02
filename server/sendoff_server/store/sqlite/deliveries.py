"""The outbox, as it is handed out: due rows found in a reader thread, taken in the writer thread."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence

from sendoff import v1
from sendoff_server.store.batch.outbox import kind_of
from sendoff_server.store.questions import Delivery, Endpoint, Outbox, receiver_of
from sendoff_server.store.sqlite import endpoints
from sendoff_server.store.sqlite.connection import transaction
from sendoff_server.store.sqlite.leases import check_alive
from sendoff_server.store.sqlite.queries import named
from sendoff_server.store.sqlite.snapshot import encode_list


def due(
    connection: sqlite3.Connection, now_ns: int, limit: int, per_receiver: int, room: Mapping[str, int]
) -> Sequence[int]:
    """Numbers of deliveries with a URL that could be taken."""
    (found,) = connection.execute(named("due_deliveries"), (now_ns, per_receiver)).fetchone()
    chosen: list[int] = []
    count: Counter[str] = Counter()
    for no, receiver in json.loads(found):
        if count[receiver] < room.get(receiver, per_receiver) and len(chosen) < limit:
            count[receiver] += 1
            chosen.append(no)
    return chosen


def due_pulled(connection: sqlite3.Connection, tenant: str, endpoint_id: str, now_ns: int, limit: int) -> Sequence[int]:
    (found,) = connection.execute(named("due_pulled"), (tenant, endpoint_id, now_ns, limit)).fetchone()
    numbers: list[int] = json.loads(found)
    return numbers


def take(connection: sqlite3.Connection, replica_no: int, numbers: Sequence[int], now_ns: int) -> list[Delivery]:
    """Take those that nobody has taken meanwhile."""
    with transaction(connection):
        check_alive(connection, replica_no)
        taken = connection.execute(named("take_deliveries"), (replica_no, encode_list(numbers), now_ns)).fetchall()
        return _Taken(connection).read([no for (no,) in taken])


class _Taken:
    """Deliveries that are handed out together: what they share is read once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._runs: dict[int, v1.Run] = {}
        self._endpoints: dict[int, Endpoint] = {}
        self._signers: dict[tuple[str, str], Endpoint | None] = {}

    def read(self, numbers: Sequence[int]) -> list[Delivery]:
        rows = self._connection.execute(named("taken_deliveries"), (encode_list(numbers),)).fetchall()
        return [self._delivery(*row) for row in rows]

    def _delivery(
        self,
        delivery_id: str,
        tenant: str,
        kind: int,
        sequence: int,
        run_no: int,
        run_body: bytes,
        own_url: str | None,
        endpoint_no: int | None,
        endpoint_body: bytes | None,
        secrets: str | None,
        window_ns: int,
        attempts: int,
    ) -> Delivery:
        run = self._run(run_no, run_body)
        endpoint = self._endpoint(endpoint_no, endpoint_body, secrets)
        url = endpoint.told.url if endpoint is not None else own_url or ""
        return Delivery(
            id=delivery_id,
            tenant=tenant,
            kind=kind_of(kind),
            sequence=sequence,
            run=run,
            url=url,
            receiver=receiver_of(url) if url else "",
            endpoint=endpoint,
            signed_by=endpoint or self._signer(tenant, run.callback),
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

    def _signer(self, tenant: str, callback: v1.CallbackSummary) -> Endpoint | None:
        """Whose secrets sign a run's own callback."""
        if not callback.HasField("secret_id"):
            return None
        key = tenant, callback.secret_id
        if key not in self._signers:
            self._signers[key] = endpoints.read(self._connection, *key)
        return self._signers[key]


def count(connection: sqlite3.Connection) -> Outbox:
    own, has_endpoints = connection.execute(named("outbox")).fetchone()
    return Outbox(open=own, has_endpoints=bool(has_endpoints))
