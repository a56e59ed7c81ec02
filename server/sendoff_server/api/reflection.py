"""Server reflection, for callers who are let in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from typing import Any, cast

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection, reflection_pb2

from sendoff_server.access.gate import Credentials, Gate
from sendoff_server.access.principal import Permission
from sendoff_server.api import status
from sendoff_server.api.status import Context
from sendoff_server.errors import ServiceError, StoreUnavailable
from sendoff_server.store.port import Fenced, StoreFailed


class GuardedReflection(reflection.aio.ReflectionServicer):
    """Tells of the services whoever has a key, and everybody as long as there are none."""

    def __init__(self, service_names: Iterable[str], gate: Gate, credentials: Callable[[Context], Credentials]) -> None:
        super().__init__(service_names, _Symbols())
        self._gate = gate
        self._credentials = credentials

    async def ServerReflectionInfo(  # type: ignore[override]  # the stubs have it as a coroutine, and it is a generator
        self, request_iterator: AsyncIterator[reflection_pb2.ServerReflectionRequest], unused_context: Context
    ) -> AsyncGenerator[Any]:
        try:
            await self._gate.admit(self._credentials(unused_context), Permission.INFO)
        except ServiceError as error:
            await status.abort(unused_context, status.pack(error))
        except (StoreFailed, Fenced):
            await status.abort(unused_context, status.pack(StoreUnavailable()))
        async for told in cast(Any, super().ServerReflectionInfo(request_iterator, unused_context)):
            yield told


class _Symbols:
    """The pool of all descriptors, with RPCs as symbols: reflection has them, and the pool itself does not."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:
        """The file in which a symbol stands. Raises KeyError."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            found = self._pool.FindServiceByName(service)
            return found.methods_by_name[method].containing_service.file
