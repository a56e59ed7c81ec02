"""Errors that say: name something that exists."""

from __future__ import annotations

from sendoff_server.errors.base import ServiceError


class NotFound(ServiceError):
    """Nothing of that name, or nothing that this tenant may see."""

    grpc_code = "NOT_FOUND"
    http_status = 404


class AgentNotFound(NotFound):
    reason = "AGENT_NOT_FOUND"

    def __init__(self, agent_id: str) -> None:
        super().__init__(f"there is no agent {agent_id!r}; ListAgents shows those that exist", agent_id=agent_id)


class ConversationNotFound(NotFound):
    reason = "CONVERSATION_NOT_FOUND"

    def __init__(self, conversation_id: str) -> None:
        super().__init__(
            f"there is no conversation {conversation_id!r}; leave it unset for the agent's own",
            conversation_id=conversation_id,
        )


class MessageNotFound(NotFound):
    reason = "MESSAGE_NOT_FOUND"

    def __init__(self, message_id: str, where: str = "") -> None:
        """`where`: the conversation, agent or run that does not have it; empty for none in particular."""
        told = f" in {where}" if where else ""
        kind = {"conv": "conversation_id", "agent": "agent_id", "run": "run_id"}.get(where.partition("-")[0])
        super().__init__(
            f"there is no message {message_id!r}{told}, or none yet; ListMessages shows those that exist",
            message_id=message_id,
            **({kind: where} if kind else {}),
        )


class RunNotFound(NotFound):
    reason = "RUN_NOT_FOUND"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"there is no run {run_id!r}", run_id=run_id)


class ToolNotFound(NotFound):
    reason = "TOOL_NOT_FOUND"

    def __init__(self, tool_id: str) -> None:
        super().__init__(f"there is no tool {tool_id!r}; ListTools shows those that exist", tool_id=tool_id)


class BlockNotFound(NotFound):
    reason = "BLOCK_NOT_FOUND"

    def __init__(self, block_id: str) -> None:
        super().__init__(f"there is no block {block_id!r}; ListBlocks shows those that exist", block_id=block_id)


class FileNotFound(NotFound):
    reason = "FILE_NOT_FOUND"

    def __init__(self, file_id: str) -> None:
        super().__init__(f"there is no file {file_id!r}; ListFiles shows those that exist", file_id=file_id)


class StepNotFound(NotFound):
    reason = "STEP_NOT_FOUND"

    def __init__(self, step_id: str) -> None:
        super().__init__(f"there is no step {step_id!r}; ListSteps shows those of a run", step_id=step_id)


class EndpointNotFound(NotFound):
    reason = "ENDPOINT_NOT_FOUND"

    def __init__(self, endpoint_id: str) -> None:
        super().__init__(
            f"there is no callback endpoint {endpoint_id!r}; ListEndpoints shows those that exist",
            endpoint_id=endpoint_id,
        )


class DeliveryNotFound(NotFound):
    reason = "DELIVERY_NOT_FOUND"

    def __init__(self, delivery_id: str) -> None:
        super().__init__(
            f"there is no delivery {delivery_id!r}, or none any more; ListDeliveries shows those that exist",
            delivery_id=delivery_id,
        )


class ModelNotFound(NotFound):
    reason = "MODEL_NOT_FOUND"

    def __init__(self, handle: str, hint: str = "ListModels shows those that can be used") -> None:
        super().__init__(f"there is no model {handle!r}; {hint}", handle=handle)
