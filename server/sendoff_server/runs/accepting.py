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
    IdempotencyMismatch,
    InvalidRequest,
    QueueFull,
    Unsupported,
    Violation,
)
from sendoff_server.lifecycle import client_otids, first_event, input_of, lane_of, new_run
from sendoff_server.models.port import Catalogue, Model
from sendoff_server.store.port import Accept, Accepted, Busy, Full, Key, LaneMissing, Mismatched, Placed, Repeated


class Agents(Protocol):
    """Where accepting finds agents."""

    async def find(self, tenant: str, agent_id: str) -> v1.Agent:
        """Raises AgentNotFound."""
        ...


class Acceptance:
    """Makes the store's `Accept` out of a request, and the caller's answer out of what became of it."""

    def __init__(self, agents: Agents, models: Catalogue, clock: Clock, *, max_open: int) -> None:
        self._agents = agents
        self._models = models
        self._clock = clock
        self._max_open = max_open

    async def check(self, tenant: str, request: v1.CreateMessageAsyncRequest) -> None:
        """Raise AgentNotFound, ModelNotFound or Unsupported for what can not be run."""
        agent = await self._agents.find(tenant, request.agent_id)
        model = await self._models.find(request.override_model or agent.model)
        _check_capabilities(request, model)

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
            case Placed(run, _):
                return run, False
            case Repeated(run):
                return run, True
            case Mismatched(key, run_id):
                raise IdempotencyMismatch(key.value, run_id)
            case Busy(run_id):
                raise ConversationBusy(run_id)
            case Full():
                raise QueueFull(f"conversation {accept.lane}", self._max_open)
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


def normalised(request: v1.CreateMessageAsyncRequest) -> v1.CreateMessageAsyncRequest:
    """The agent's default conversation has one spelling inside: unset."""
    if request.conversation_id != "default":
        return request
    copy = v1.CreateMessageAsyncRequest()
    copy.CopyFrom(request)
    copy.ClearField("conversation_id")
    return copy


def _check_capabilities(request: v1.CreateMessageAsyncRequest, model: Model) -> None:
    if model.info.supports_images:
        return
    for create in input_of(request):
        if any(part.HasField("image") for part in create.content.parts.parts):
            told = f"the model {model.info.handle} can not look at images; choose one that can (ListModels tells)"
            raise Unsupported([Violation(request.WhichOneof("payload") or "", told)])
