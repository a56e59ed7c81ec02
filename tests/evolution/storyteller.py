"""Makes the calls of a story in the words of an older contract, and keeps what goes over the wire."""

from __future__ import annotations

from typing import Any

import grpc.aio
from google.protobuf.message import Message

from tests.evolution import wire_calls
from tests.evolution.contracts import PACKAGE, Contract
from tests.evolution.exchanges import Exchange

NOBODY = "00000000-0000-4000-8000-000000000000"
Fields = dict[str, object]


class Storyteller:
    """Makes calls by name, and keeps what went over the wire."""

    def __init__(self, channel: grpc.aio.Channel, contract: Contract) -> None:
        self._channel = channel
        self.contract = contract
        self.exchanges: list[Exchange] = []

    def knows(self, method: str) -> bool:
        return f"{PACKAGE}.{method}" in self.contract.methods

    async def call(self, method: str, **fields: object) -> Any:
        """The answer to a call that works; of a stream the last one."""
        made = await self._make(method, fields)
        assert made.ok, f"{method}: {made.code} {made.details!r}"
        return self.contract.parse_response(made.method, made.responses[-1])

    async def refused(self, method: str, **fields: object) -> None:
        """A call that must not work."""
        made = await self._make(method, fields)
        assert not made.ok, f"{method} was not refused"

    async def pull(self, endpoint_id: str, count: int) -> None:
        """Take so many deliveries, and acknowledge them."""
        method = f"{PACKAGE}.CallbackService/ReceiveDeliveries"
        first = self.contract.request(method, {"subscribe": {"endpoint_id": endpoint_id, "max_unacked": count}})

        def acknowledge(response: bytes) -> bytes:
            handed: Any = self.contract.parse_response(method, response)
            return self.contract.request(method, {"ack_delivery_id": handed.delivery.id}).SerializeToString()

        made = await wire_calls.converse(self._channel, method, first.SerializeToString(), [acknowledge] * count)
        assert made.ok, made
        self.exchanges.append(made)

    async def _make(self, method: str, fields: Fields) -> Exchange:
        path = f"{PACKAGE}.{method}"
        request: Message = self.contract.request(path, fields)
        streams = self.contract.methods[path].server_streaming
        made = await wire_calls.ask(self._channel, path, request.SerializeToString(), streams=streams)
        self.exchanges.append(made)
        return made
