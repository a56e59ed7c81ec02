"""Calls any method of the contract for a tenant, and tells all of what came of it."""

from __future__ import annotations

import importlib
import itertools
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
from google.protobuf import text_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2  # noqa: F401  # the first makes the details readable

import sendoff.v1
from tests.faults.caller import PATIENCE_S
from tests.tenants.answers import Answer
from tests.tenants.gate import credential
from tests.tenants.spying import Questions


def _methods() -> dict[str, MethodDescriptor]:
    modules = [importlib.import_module(f"sendoff.v1.{each.name}") for each in pkgutil.iter_modules(sendoff.v1.__path__)]
    files = [module.DESCRIPTOR for module in modules if hasattr(module, "DESCRIPTOR")]
    services = [service for file in files for service in file.services_by_name.values()]
    return {f"{service.name}/{method.name}": method for service in services for method in service.methods}


METHODS: Mapping[str, MethodDescriptor] = _methods()
"""Every method of the contract, as "RunService/GetRun"."""


def reads(name: str) -> bool:
    """Whether a method has no effects."""
    return METHODS[name].GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS


class GrpcCaller:
    """Calls as one tenant."""

    def __init__(self, channel: grpc.aio.Channel, tenant: str, questions: Questions | None = None) -> None:
        """`questions`: also told of the store's, where they are the call's own and nothing goes on after it."""
        self._channel = channel
        self._tenant = tenant
        self._questions = questions
        self._numbers = itertools.count()

    async def call(self, name: str, *requests: Message) -> Answer:
        """What comes of it. Of streams: of all frames, once it has ended."""
        key_id = f"{self._tenant}-{'key' if self._questions is None else next(self._numbers)}"
        call = self._begin(name, requests, key_id)
        try:
            frames = await _frames(call)
            told = [text_format.MessageToString(each, as_utf8=True) for each in frames]
            answer = Answer("OK", "\n".join([*told, *await _metadata(call)]))
        except grpc.aio.AioRpcError as error:
            answer = Answer(error.code().name, "\n".join([f"text: {error.details()}", *await _metadata(call)]))
        if self._questions is None or (answer.outcome == "OK" and not reads(name)):
            return answer
        return replace(answer, questions=tuple(self._questions.of(key_id)))

    async def told(self, name: str, *requests: Message) -> Sequence[Any]:
        """All that is answered. Raises AioRpcError."""
        return await _frames(self._begin(name, requests, f"{self._tenant}-key"))

    async def first(self, name: str, request: Message) -> Any:
        """What is answered first to a stream that says so much and stays open."""
        metadata = (("authorization", credential(self._tenant, f"{self._tenant}-key")),)
        call = self._callable(METHODS[name])(metadata=metadata, timeout=PATIENCE_S)
        await call.write(request)
        told = await call.read()
        call.cancel()
        return told

    def _begin(self, name: str, requests: Sequence[Message], key_id: str) -> Any:
        method = METHODS[name]
        asked = iter(requests) if method.client_streaming else requests[0]
        return self._callable(method)(
            asked, metadata=(("authorization", credential(self._tenant, key_id)),), timeout=PATIENCE_S
        )

    def _callable(self, method: MethodDescriptor) -> Any:
        kind = ("stream" if method.client_streaming else "unary") + ("_stream" if method.server_streaming else "_unary")
        return getattr(self._channel, kind)(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=GetMessageClass(method.input_type).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )


async def _frames(call: Any) -> Sequence[Any]:
    return [frame async for frame in call] if hasattr(call, "__aiter__") else [await call]


async def _metadata(call: Any) -> Sequence[str]:
    """All that is told beside an answer; details of a refusal in words."""
    lines = []
    for place, metadata in (("first", await call.initial_metadata()), ("last", await call.trailing_metadata())):
        for key, value in metadata or ():
            if key == "grpc-status-details-bin":
                value = text_format.MessageToString(status_pb2.Status.FromString(value), as_utf8=True)
            lines.append(f"{place} {key}: {value}")
    return lines
