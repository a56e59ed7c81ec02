"""Asks a server of today what an older one was asked, and tells where its answers differ."""

from __future__ import annotations

from functools import partial

import grpc.aio
from google.rpc import error_details_pb2, status_pb2

from tests.evolution import wire_calls
from tests.evolution.comparing import Comparison
from tests.evolution.exchanges import Exchange
from tests.evolution.recordings import Recording


class Repeating:
    """Asks the server of today what was asked then, with the names that things have now."""

    def __init__(self, channel: grpc.aio.Channel, recording: Recording) -> None:
        self._channel = channel
        self._contract = recording.contract
        self._comparison = Comparison()
        self.differences: list[str] = []

    async def repeat(self, then: Exchange) -> Exchange:
        now = await self._ask(then)
        self.differences += self._compare(then, now)
        return now

    async def _ask(self, then: Exchange) -> Exchange:
        described = self._contract.methods[then.method]
        first, *others = then.requests
        if described.client_streaming:
            replies = [partial(self._learnt, then, index) for index in range(len(others))]
            return await wire_calls.converse(self._channel, then.method, self._renamed(then.method, first), replies)
        request = self._renamed(then.method, first)
        return await wire_calls.ask(self._channel, then.method, request, streams=described.server_streaming)

    def _learnt(self, then: Exchange, index: int, response: bytes) -> bytes:
        """What was sent then when that response came."""
        self._differ(then.method, then.responses[index : index + 1], [response])
        return self._renamed(then.method, then.requests[index + 1])

    def _renamed(self, method: str, raw: bytes) -> bytes:
        request = self._contract.parse_request(method, raw)
        self._comparison.names.put_into(request)
        return request.SerializeToString()

    def _compare(self, then: Exchange, now: Exchange) -> list[str]:
        if (then.code, then.headers) != (now.code, now.headers):
            return [f"{then.method}: {now.code} {now.headers} {now.details!r} instead of {then.code} {then.headers}"]
        if reason_of(then) != reason_of(now):
            return [f"{then.method}: {reason_of(now)} instead of {reason_of(then)}"]
        return self._differ(then.method, then.responses, now.responses)

    def _differ(self, method: str, then: list[bytes], now: list[bytes]) -> list[str]:
        parse = self._contract.parse_response
        return self._comparison.answers(
            method, [parse(method, raw) for raw in then], [parse(method, raw) for raw in now]
        )


def reason_of(made: Exchange) -> tuple[str, list[str]]:
    """The reason of a refusal, and the fields that it names."""
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status_pb2.Status.FromString(made.details).details:
        if not detail.Unpack(bad):
            detail.Unpack(info)
    return info.reason, [violation.field for violation in bad.field_violations]
