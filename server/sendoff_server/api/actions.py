"""ActionService over gRPC."""

from __future__ import annotations

from sendoff import v1
from sendoff.v1.action_service_pb2_grpc import ActionServiceServicer
from sendoff_server.access.principal import acting
from sendoff_server.api.status import Context
from sendoff_server.runs.action_service import ActionService


class ActionServicer(ActionServiceServicer):
    """Hands calls to the use cases."""

    def __init__(self, actions: ActionService) -> None:
        self._actions = actions

    async def ListPendingActions(
        self, request: v1.ListPendingActionsRequest, context: Context
    ) -> v1.ListPendingActionsResponse:
        return await self._actions.list(acting().tenant, request)

    async def RespondToActions(
        self, request: v1.RespondToActionsRequest, context: Context
    ) -> v1.RespondToActionsResponse:
        return await self._actions.respond(acting().tenant, request)
