"""The gRPC server: all services behind one port, standard health and reflection, and a stop that loses no call."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any, Self, cast

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from sendoff.v1 import (
    action_service_pb2,
    agent_service_pb2,
    block_service_pb2,
    callback_service_pb2,
    conversation_service_pb2,
    file_service_pb2,
    model_service_pb2,
    ops_service_pb2,
    run_service_pb2,
    step_service_pb2,
    tool_service_pb2,
)
from sendoff_server.access.doorway import Doorway
from sendoff_server.api.actions import ActionServicer
from sendoff_server.api.agents import AgentServicer
from sendoff_server.api.blocks import BlockServicer
from sendoff_server.api.callbacks import CallbackServicer
from sendoff_server.api.calls import Calls
from sendoff_server.api.conversations import ConversationServicer
from sendoff_server.api.facts import ModelServicer, OpsServicer
from sendoff_server.api.files import FileServicer
from sendoff_server.api.health import Health
from sendoff_server.api.reflection import GuardedReflection
from sendoff_server.api.runs import RunServicer
from sendoff_server.api.steps import StepServicer
from sendoff_server.api.tls import server_credentials
from sendoff_server.api.tools import ToolServicer
from sendoff_server.settings import Settings
from sendoff_server.use_cases import UseCases

STOP_GRACE_S = 5.0
"""How long a stop waits for calls under way; those that wait or watch end by themselves when the use cases drain."""

_ROOM_FOR_REFUSAL = 16 * 1024 * 1024
"""Requests over our limit by up to this are read, so that the refusal can say why; gRPC cuts off larger ones."""
_HANDSHAKE_MS = 10_000
_PENDING = 4_000


class AddressUnavailable(Exception):
    """The address can not be listened on."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"cannot listen on {address!r}: another process has the port, or the address is not of this machine; "
            "set another with SENDOFF_GRPC_ADDRESS or --grpc-address"
        )


class GrpcServer:
    """Serves while it is entered.

    To stop without losing calls: `announce_drain()`, then let the use cases end waits and watches, then leave.
    """

    def __init__(
        self,
        settings: Settings,
        use_cases: UseCases,
        doorway: Doorway,
        *,
        stop_grace_s: float = STOP_GRACE_S,
    ) -> None:
        self.address = settings.grpc_address
        """What clients connect to. Once entered, with the port that was taken in place of port 0."""
        self.port = 0
        """Where it listens, once entered. Without a meaning for unix sockets."""
        self._doorway = doorway
        self._calls = Calls(doorway, log_each=settings.log_level == "debug", trail=use_cases.trail)
        self._services = {
            file.services_by_name[name]: servicer
            for file, name, servicer in (
                (run_service_pb2.DESCRIPTOR, "RunService", RunServicer(use_cases.runs)),
                (action_service_pb2.DESCRIPTOR, "ActionService", ActionServicer(use_cases.actions)),
                (agent_service_pb2.DESCRIPTOR, "AgentService", AgentServicer(use_cases.agents)),
                (
                    conversation_service_pb2.DESCRIPTOR,
                    "ConversationService",
                    ConversationServicer(use_cases.conversations),
                ),
                (block_service_pb2.DESCRIPTOR, "BlockService", BlockServicer(use_cases.blocks)),
                (callback_service_pb2.DESCRIPTOR, "CallbackService", CallbackServicer(use_cases.callbacks)),
                (callback_service_pb2.DESCRIPTOR, "CallbackService", CallbackServicer(use_cases.callbacks)),
                (step_service_pb2.DESCRIPTOR, "StepService", StepServicer(use_cases.steps)),
                (file_service_pb2.DESCRIPTOR, "FileService", FileServicer(use_cases.files)),
                (tool_service_pb2.DESCRIPTOR, "ToolService", ToolServicer(use_cases.tools)),
                (model_service_pb2.DESCRIPTOR, "ModelService", ModelServicer(use_cases.models)),
                (
                    ops_service_pb2.DESCRIPTOR,
                    "OpsService",
                    OpsServicer(use_cases.info, use_cases.queue, use_cases.dispatch, use_cases.audit),
                ),
            )
        }
        self._options = server_options(settings)
        self._health = Health()
        self._works = self._drains = False
        self.stop_grace_s = stop_grace_s
        self._server: grpc.aio.Server | None = None

    @property
    def calls(self) -> Calls:
        """What became of the calls so far."""
        return self._calls

    async def __aenter__(self) -> Self:
        """Listen and serve. Raises AddressUnavailable."""
        logging.getLogger("grpc._cython.cygrpc").addFilter(_tells_no_metadata)
        server = grpc.aio.server(options=self._options)
        names = [service.full_name for service in self._services]
        for service, servicer in self._services.items():
            server.add_generic_rpc_handlers((self._calls.handler(service, servicer),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        told = [*names, health.SERVICE_NAME, reflection.SERVICE_NAME]
        cast(Any, reflection_pb2_grpc).add_ServerReflectionServicer_to_server(
            GuardedReflection(told, self._doorway.gate, self._calls.credentials), server
        )
        await self.set_serving(True)
        try:
            self.port = self._listen(server)
        except RuntimeError as error:
            raise AddressUnavailable(self.address) from error
        if not self.address.startswith("unix"):
            self.address = f"{self.address.rpartition(':')[0]}:{self.port}"
        await server.start()
        self._server = server
        return self

    def _listen(self, server: grpc.aio.Server) -> int:
        if self._doorway.certificates is None:
            return server.add_insecure_port(self.address)
        return server.add_secure_port(self.address, server_credentials(self._doorway.certificates))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take no new calls, let those under way end for up to the grace, then cancel them."""
        await self.announce_drain()
        self._health.close()
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(self.stop_grace_s)

    @property
    def is_serving(self) -> bool:
        """What health checks see of the server."""
        return self._works and not self._drains

    async def set_serving(self, serving: bool) -> None:
        """What health checks see, of the server and of each service; without effect once it drains."""
        self._works = serving
        told = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in [health.OVERALL_HEALTH, *(service.full_name for service in self._services)]:
            await self._health.set(name, told)

    async def announce_drain(self) -> None:
        """Have health checks see NOT_SERVING for good, so that callers go elsewhere. Calls are still served."""
        self._drains = True
        await self._health.enter_graceful_shutdown()


def _tells_no_metadata(record: logging.LogRecord) -> bool:
    """gRPC logs metadata that are no text, which may be credentials, whole, and as often as they come."""
    return not str(record.msg).startswith("Invalid encoding")


def server_options(settings: Settings) -> list[tuple[str, int]]:
    """How gRPC is set."""
    return [
        # The default lets a second server have the same port without a word.
        ("grpc.so_reuseport", int(settings.processes > 1)),
        ("grpc.max_receive_message_length", settings.max_request_bytes + _ROOM_FOR_REFUSAL),
        # Metadata: the default turns calls away at random between 8 and 16 KB.
        ("grpc.max_metadata_size", 16 * 1024),
        ("grpc.absolute_max_metadata_size", 16 * 1024),
        ("grpc.max_allowed_incoming_connections", settings.max_grpc_connections),
        ("grpc.max_concurrent_streams", settings.max_connection_streams),
        # What has come and nobody has looked at yet: past it gRPC cancels calls of anybody, by lot.
        ("grpc.server.max_pending_requests", _PENDING),
        ("grpc.server.max_pending_requests_hard_limit", 2 * _PENDING),
        # Who has not said hello in HTTP/2, or in TLS, by then is cut; the default is two minutes.
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ("grpc.keepalive_time_ms", round(settings.keepalive_s * 1_000)),
        ("grpc.keepalive_timeout_ms", 10_000),
        # Without it a peer that is gone is noticed after a minute, whatever the two above say.
        ("grpc.http2.ping_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        # Long connections end now and then, so that clients spread over new replicas.
        ("grpc.max_connection_age_ms", round(settings.max_connection_age_s * 1_000)),
        ("grpc.max_connection_age_grace_ms", round(settings.connection_grace_s * 1_000)),
    ]
