"""StepService over gRPC."""

from __future__ import annotations

from sendoff import v1
from sendoff.v1.step_service_pb2_grpc import StepServiceServicer
from sendoff_server.access.principal import acting
from sendoff_server.api.status import Context
from sendoff_server.runs.step_service import StepService


class StepServicer(StepServiceServicer):
    """Hands calls to the use cases."""

    def __init__(self, steps: StepService) -> None:
        self._steps = steps

    async def GetStep(self, request: v1.GetStepRequest, context: Context) -> v1.Step:
        return await self._steps.get(acting().tenant, request)

    async def ListSteps(self, request: v1.ListStepsRequest, context: Context) -> v1.ListStepsResponse:
        return await self._steps.list(acting().tenant, request)

    async def ListStepMessages(
        self, request: v1.ListStepMessagesRequest, context: Context
    ) -> v1.ListStepMessagesResponse:
        return await self._steps.list_messages(acting().tenant, request)

    async def UpdateStepFeedback(self, request: v1.UpdateStepFeedbackRequest, context: Context) -> v1.Step:
        return await self._steps.update_feedback(acting().tenant, request)
