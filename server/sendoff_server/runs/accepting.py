"""Accepting a request: from what the caller sent to what is written in one transaction.

Idempotency (P2): `request_id` and the idempotency key of either door are one key, unique per tenant; the OTIDs of a
request, if every message has one that the caller chose, are keys of their conversation. A request with keys that are
known is the same request if its fingerprint is the same, and a mismatch if not. The store decides, in the transaction
that would write the run.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import Clock
from sendoff_server.errors import (
    AgentNotFound,
    ConversationBusy,
    ConversationNotFound,
    IdempotencyMismatch,
    InvalidRequest,
    NoPendingAction,
    PendingApproval,
    QueueFull,
    Unsupported,
    Violation,
)
from sendoff_server.lifecycle import client_otids, first_event, input_of, lane_of, model_of, new_run
from sendoff_server.models.port import Catalogue, Model
from sendoff_server.store.port import (
    Accept,
    Accepted,
    Busy,
    Full,
    Key,
    LaneMissing,
    Mismatched,
    NothingPending,
    Pending,
    Placed,
    Repeated,
)


class Agents(Protocol):
    """Where accepting finds agents."""

    async def find(self, tenant: str, agent_id: str) -> v1.Agent:
        """Raises AgentNotFound."""
        ...


class Conversations(Protocol):
    """Where accepting finds conversations beside the default ones."""

    async def find_of(self, tenant: str, conversation_id: str, agent_id: str) -> v1.Conversation:
        """Raises ConversationNotFound, and InvalidRequest if it is not that agent's; "" for whoever's it is."""
        ...


class Acceptance:
    """Makes the store's `Accept` out of a request, and the caller's answer out of what became of it."""

    def __init__(
        self, agents: Agents, conversations: Conversations, models: Catalogue, clock: Clock, *, max_open: int
    ) -> None:
        self._agents = agents
        self._conversations = conversations
        self._models = models
        self._clock = clock
        self._max_open = max_open

    async def checked(self, tenant: str, request: v1.CreateMessageAsyncRequest) -> v1.CreateMessageAsyncRequest:
        """The request, normalised.

        Raises ConversationNotFound, AgentNotFound, InvalidRequest, ModelNotFound, Unsupported.
        """
        conversation = await self._conversation(tenant, request)
        request = normalised(request, conversation)
        agent = await self._agents.find(tenant, request.agent_id)
        model = await self._models.find(model_of(request, conversation, agent))
        _check_capabilities(request, model)
        return request

    async def _conversation(self, tenant: str, request: v1.CreateMessageAsyncRequest) -> v1.Conversation | None:
        if request.conversation_id in ("", "default"):
            return None
        return await self._conversations.find_of(tenant, request.conversation_id, request.agent_id)

    def preview(self, request: v1.CreateMessageAsyncRequest, request_id: str) -> v1.Run:
        """The run that the request would make."""
        run = new_run(request, request_id, self._clock.now_ns())
        run.ClearField("last_sequence")
        run.ClearField("etag")
        return run

    def accept(self, tenant: str, request: v1.CreateMessageAsyncRequest, request_id: str, *, lease: bool) -> Accept:
        run = new_run(request, request_id, self._clock.now_ns(), ids.new("run"))
        lane = lane_of(run)
        return Accept(
            tenant=tenant,
            lane=lane,
            run=run,
            request=request.SerializeToString(),
            event=first_event(run),
            keys=keys_of(request, request_id, lane),
            fingerprint=fingerprint(request),
            lease=lease,
            reject_if_busy=request.scheduling.when_busy == v1.WHEN_BUSY_REJECT,
            max_open=self._max_open,
        )

    def answer(self, accept: Accept, outcome: Accepted) -> tuple[v1.Run, bool]:
        """The run, and whether it was accepted before. Raises what the caller is to be told."""
        match outcome:
            case Placed(run):
                return run, False
            case Repeated(run):
                return run, True
            case Mismatched(key, run_id):
                raise IdempotencyMismatch(key.value, run_id)
            case Busy(run_id):
                raise ConversationBusy(run_id)
            case Full():
                raise QueueFull(f"conversation {accept.lane}", self._max_open)
            case Pending(run_id):
                raise PendingApproval(run_id, run_id)
            case NothingPending():
                raise NoPendingAction(accept.lane)
            case LaneMissing() if accept.run.HasField("conversation_id"):
                raise ConversationNotFound(accept.run.conversation_id)
            case LaneMissing():
                raise AgentNotFound(accept.run.agent_id)


def one_request_id(request: v1.CreateMessageAsyncRequest, idempotency_key: str | None) -> str:
    """The request's own id or the door's key. Raises InvalidRequest if there are both and they differ."""
    if idempotency_key and request.request_id and idempotency_key != request.request_id:
        told = f"differs from the idempotency key {idempotency_key!r} beside the request; send one, or the same twice"
        raise InvalidRequest([Violation("request_id", told)])
    return request.request_id or idempotency_key or ""


def keys_of(request: v1.CreateMessageAsyncRequest, request_id: str, lane: str) -> list[Key]:
    keys = [Key("request", request_id)] if request_id else []
    return keys + [Key(f"otid:{lane}", otid) for otid in client_otids(request)]


def fingerprint(request: v1.CreateMessageAsyncRequest) -> bytes:
    """Digest of all that makes two requests the same, whatever key they carry and whichever door they took."""
    bare = v1.CreateMessageAsyncRequest()
    bare.CopyFrom(request)
    bare.ClearField("request_id")
    return hashlib.blake2b(bare.SerializeToString(deterministic=True), digest_size=16).digest()


def normalised(
    request: v1.CreateMessageAsyncRequest, conversation: v1.Conversation | None
) -> v1.CreateMessageAsyncRequest:
    """The request with its address in one spelling: the agent's default conversation is unset, the agent is told."""
    if conversation is None and request.conversation_id != "default":
        return request
    if conversation is not None and request.agent_id:
        return request
    copy = v1.CreateMessageAsyncRequest()
    copy.CopyFrom(request)
    if conversation is None:
        copy.ClearField("conversation_id")
    else:
        copy.agent_id = conversation.agent_id
    return copy


def _check_capabilities(request: v1.CreateMessageAsyncRequest, model: Model) -> None:
    if request.limits.HasField("max_cost_microusd") and not _has_price(model.info):
        told = f"no price of the model {model.info.handle} is known; limit max_total_tokens instead"
        raise Unsupported([Violation("limits.max_cost_microusd", told)])
    if model.info.supports_images:
        return
    for create in input_of(request):
        if any(part.HasField("image") for part in create.content.parts.parts):
            told = f"the model {model.info.handle} can not look at images; choose one that can (ListModels tells)"
            raise Unsupported([Violation(request.WhichOneof("payload") or "", told)])


def _has_price(model: v1.Model) -> bool:
    return model.HasField("input_microusd_per_mtok") and model.HasField("output_microusd_per_mtok")
