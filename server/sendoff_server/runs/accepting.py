"""Accepting a request: from what the caller sent to what is written in one transaction.

Idempotency (P2): `request_id` and the idempotency key of either door are one key, unique per tenant; the OTIDs of a
request, if every message has one that the caller chose, are keys of their conversation. A request with keys that are
known is the same request if its fingerprint is the same, and a mismatch if not. The store decides, in the transaction
that would write the run. A request without keys whose caller says that he repeats it (the API's own client does so by
itself after a broken connection) is the same as the newest one with its fingerprint, if that is recent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import SECOND_NS, Clock
from sendoff_server.errors import (
    AgentNotFound,
    ConversationBusy,
    ConversationNotFound,
    EndpointHasNoUrl,
    EndpointNotFound,
    IdempotencyMismatch,
    InvalidRequest,
    NoPendingAction,
    QueueFull,
    RunDeleted,
    Unsupported,
    Violation,
)
from sendoff_server.fairness import share_of
from sendoff_server.lifecycle import client_otids, first_event, input_of, model_of, new_run
from sendoff_server.models.port import Catalogue, Model
from sendoff_server.runs.decisions import answers, with_decisions
from sendoff_server.runs.remote_images import Addresses, check_addresses
from sendoff_server.runs.retention import Retention
from sendoff_server.runs.stored_images import Files, with_media_types
from sendoff_server.store.items import (
    Accept,
    Busy,
    Cancel,
    Deleted,
    Full,
    Key,
    LaneMissing,
    Mismatched,
    NothingPending,
    Placed,
    Repeated,
    WhenPending,
)
from sendoff_server.store.questions import Endpoint

Outcome = Placed | Repeated | Deleted | Mismatched | Busy | Full | LaneMissing | NothingPending
"""What becomes of an accept, but for Pending: what it was refused for has to be looked up first."""

SUPERSEDED = "a newer message took its place"
_FARTHEST_START_NS = 366 * 24 * 3_600 * SECOND_NS
_PRIORITY = 3
"""Of a run whose caller names none."""

_SUPERSEDES = {
    v1.WHEN_BUSY_INTERRUPT: Cancel(reason=SUPERSEDED, superseded=True),
    v1.WHEN_BUSY_ROLLBACK: Cancel(reason=SUPERSEDED, superseded=True, rollback=True),
}


@dataclass(frozen=True, slots=True)
class Keyed:
    """What makes a request known when it comes again, and where it belongs."""

    lane: str
    keys: Sequence[Key] = ()
    fingerprint: bytes = b""
    request_id: str = ""
    background: bool = True
    """Nobody waits for the run's answer on the call itself."""
    repeated_within_s: float | None = None
    """Its caller says that he may have sent it before, so long ago at most."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """What a run continues."""

    stopped: v1.Run
    actions: Sequence[v1.PendingAction]
    """What the run had stopped for; all have an answer."""
    answered_before: int
    """How many of them had one already."""
    cancel: Cancel | None = None
    """The turn is to end with these answers."""


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


class Callbacks(Protocol):
    """Who will call back."""

    def fault_of(self, url: str) -> str | None:
        """Why no callback may go to an absolute URL, as far as it tells by itself; None for no reason."""
        ...

    def check_room(self) -> None:
        """Raises OutboxFull."""
        ...


class Endpoints(Protocol):
    """Where accepting finds the endpoints whose secrets sign."""

    async def endpoint(self, tenant: str, endpoint_id: str) -> Endpoint | None: ...


class Acceptance:
    """Makes the store's `Accept` out of a request, and the caller's answer out of what became of it."""

    def __init__(
        self,
        agents: Agents,
        conversations: Conversations,
        models: Catalogue,
        files: Files,
        callbacks: Callbacks,
        endpoints: Endpoints,
        addresses: Addresses,
        clock: Clock,
        *,
        max_open: int,
        retention: Retention,
        may_approve: bool = False,
    ) -> None:
        self._agents = agents
        self._conversations = conversations
        self._models = models
        self._files = files
        self._callbacks = callbacks
        self._endpoints = endpoints
        self._addresses = addresses
        self._clock = clock
        self._max_open = max_open
        self._retention = retention
        self._may_approve = may_approve

    async def checked(self, tenant: str, request: v1.CreateMessageAsyncRequest) -> v1.CreateMessageAsyncRequest:
        """The request, normalised.

        Raises ConversationNotFound, AgentNotFound, EndpointNotFound, EndpointHasNoUrl, InvalidRequest, ModelNotFound,
        OutboxFull, Unsupported.
        """
        conversation = await self._conversation(tenant, request)
        request = normalised(request, conversation)
        agent = await self._agents.find(tenant, request.agent_id)
        model = await self._models.find(model_of(request, conversation, agent))
        _check_capabilities(request, model)
        if model.wants_image_bytes:
            check_addresses(self._addresses, request)
        self._check_timeout(request.limits)
        self._check_start(request)
        self._retention.check(request.scheduling)
        await self._check_callback(tenant, request)
        return await with_media_types(self._files, tenant, request)

    def _check_timeout(self, limits: v1.Limits) -> None:
        if limits.on_action_timeout == v1.ON_TIMEOUT_APPROVE and not self._may_approve:
            told = "this server runs no call that nobody has approved; its operator could allow it"
            raise Unsupported([Violation("limits.on_action_timeout", told)])

    def _check_start(self, request: v1.CreateMessageAsyncRequest) -> None:
        if not request.scheduling.HasField("start_time"):
            return
        if answers(request):
            told = "answers are dealt with at once, because a conversation waits for them"
            raise Unsupported([Violation("scheduling.start_time", told)])
        if request.scheduling.start_time.ToNanoseconds() > self._clock.now_ns() + _FARTHEST_START_NS:
            raise InvalidRequest([Violation("scheduling.start_time", "is more than 366 days ahead")])

    async def _check_callback(self, tenant: str, request: v1.CreateMessageAsyncRequest) -> None:
        if not request.HasField("callback_url"):
            return
        if fault := self._callbacks.fault_of(request.callback_url):
            raise InvalidRequest([Violation("callback_url", fault)])
        if request.callback.HasField("secret_id"):
            await self._check_signs(tenant, request.callback.secret_id)
        self._callbacks.check_room()

    async def _check_signs(self, tenant: str, endpoint_id: str) -> None:
        endpoint = await self._endpoints.endpoint(tenant, endpoint_id)
        if endpoint is None:
            raise EndpointNotFound(endpoint_id)
        if not endpoint.secrets:
            raise EndpointHasNoUrl(endpoint_id)

    async def _conversation(self, tenant: str, request: v1.CreateMessageAsyncRequest) -> v1.Conversation | None:
        if request.conversation_id in ("", "default"):
            return None
        return await self._conversations.find_of(tenant, request.conversation_id, request.agent_id)

    def preview(
        self, request: v1.CreateMessageAsyncRequest, request_id: str, continues: v1.Run | None = None
    ) -> v1.Run:
        """The run that the request would make."""
        run = new_run(request, request_id, self._clock.now_ns())
        run.ClearField("last_sequence")
        run.ClearField("etag")
        self._retention.give(run, request.scheduling, continues)
        if continues is not None:
            _continue(run, continues)
        return run

    def accept(self, tenant: str, request: v1.CreateMessageAsyncRequest, keyed: Keyed, *, lease: bool) -> Accept:
        """What a request has written that answers nothing."""
        now_ns = self._clock.now_ns()
        run = new_run(request, keyed.request_id, now_ns, ids.new("run"), background=keyed.background)
        scheduling = request.scheduling
        self._retention.give(run, scheduling)
        ttl = request.limits.queue_ttl
        start_ns = scheduling.start_time.ToNanoseconds() if scheduling.HasField("start_time") else None
        may_start_ns = max(now_ns, start_ns or 0)
        return Accept(
            tenant=tenant,
            lane=keyed.lane,
            run=run,
            request=request.SerializeToString(),
            event=first_event(run),
            keys=keyed.keys,
            fingerprint=keyed.fingerprint,
            lease=lease,
            reject_if_busy=scheduling.when_busy == v1.WHEN_BUSY_REJECT,
            max_open=self._max_open,
            when_pending=_when_pending(scheduling),
            reject_if_pending=scheduling.when_pending == v1.WHEN_PENDING_REJECT,
            supersedes=_SUPERSEDES.get(scheduling.when_busy),
            start_ns=start_ns,
            priority=scheduling.priority if scheduling.HasField("priority") else _PRIORITY,
            share=share_of(tenant, scheduling.fairness_key),
            start_before_ns=may_start_ns + ttl.ToNanoseconds() if request.limits.HasField("queue_ttl") else None,
            repeats_since_ns=_since_ns(now_ns, keyed.repeated_within_s),
        )

    def continuing(
        self,
        tenant: str,
        request: v1.CreateMessageAsyncRequest,
        keyed: Keyed,
        continuation: Continuation,
        *,
        lease: bool,
    ) -> Accept:
        """What a request has written that answers all that a run waits for.

        Nothing else works on the conversation then, so `when_busy` and `when_pending` are met whatever they say.
        """
        accept = self.accept(tenant, with_decisions(request, continuation.actions), keyed, lease=lease)
        self._retention.give(accept.run, request.scheduling, continuation.stopped)
        _continue(accept.run, continuation.stopped)
        return replace(
            accept,
            reject_if_busy=False,
            reject_if_pending=False,
            supersedes=None,
            when_pending=WhenPending.GO_ON,
            continues=continuation.stopped.id,
            answered_before=continuation.answered_before,
            cancel=continuation.cancel,
        )

    def probe(self, tenant: str, keyed: Keyed) -> Accept:
        """Asks whether the keys are known. Writes nothing in any case, because it continues no run that there is."""
        return replace(self.accept(tenant, v1.CreateMessageAsyncRequest(), keyed, lease=False), continues="-")

    def answer(self, accept: Accept, outcome: Outcome) -> tuple[v1.Run, bool]:
        """The run, and whether it was accepted before. Raises what the caller is to be told."""
        match outcome:
            case Placed(run):
                return run, False
            case Repeated(run):
                return run, True
            case Deleted(run_id):
                raise RunDeleted(run_id)
            case Mismatched(key, run_id):
                raise IdempotencyMismatch(key.value, run_id)
            case Busy(run_id):
                raise ConversationBusy(run_id)
            case Full():
                raise QueueFull(f"conversation {accept.lane}", self._max_open)
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


def _since_ns(now_ns: int, within_s: float | None) -> int | None:
    return None if within_s is None else now_ns - int(within_s * SECOND_NS)


def keyed(
    request: v1.CreateMessageAsyncRequest,
    request_id: str,
    *,
    background: bool = True,
    repeated_within_s: float | None = None,
) -> Keyed:
    """The name of a request that is normalised. Only in the background OTIDs are part of it."""
    lane = request.conversation_id or request.agent_id
    keys = keys_of(request, request_id, lane)
    if not background:
        keys = [key for key in keys if key.scope == "request"]
    return Keyed(lane, keys, fingerprint(request), request_id, background, repeated_within_s)


def keyed_answers(lane: str, request: v1.RespondToActionsRequest) -> Keyed:
    """The name of answers by themselves."""
    keys = [Key("request", request.request_id)] if request.request_id else []
    bare = v1.RespondToActionsRequest(conversation_id=lane, decisions=request.decisions)
    return Keyed(lane, keys, _digest(b"answers\0" + bare.SerializeToString(deterministic=True)), request.request_id)


def keys_of(request: v1.CreateMessageAsyncRequest, request_id: str, lane: str) -> list[Key]:
    keys = [Key("request", request_id)] if request_id else []
    return keys + [Key(f"otid:{lane}", otid) for otid in client_otids(request)]


def fingerprint(request: v1.CreateMessageAsyncRequest) -> bytes:
    """Digest of all that makes two requests the same, whatever key they carry and whichever door they took."""
    bare = v1.CreateMessageAsyncRequest()
    bare.CopyFrom(request)
    bare.ClearField("request_id")
    return _digest(bare.SerializeToString(deterministic=True))


def _digest(words: bytes) -> bytes:
    return hashlib.blake2b(words, digest_size=16).digest()


def _continue(run: v1.Run, stopped: v1.Run) -> None:
    run.turn_id = stopped.turn_id
    run.continues_run_id = stopped.id


def _when_pending(scheduling: v1.Scheduling) -> WhenPending:
    waits = scheduling.when_pending == v1.WHEN_PENDING_ENQUEUE
    return WhenPending.WAIT if waits else WhenPending.GO_ON


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
    info = model.info
    lacking: list[tuple[str, str]] = []
    if not info.supports_images and _shows_an_image(request):
        lacking.append((request.WhichOneof("payload") or "", "can not look at images"))
    if request.return_logprobs and not info.supports_logprobs:
        lacking.append(("return_logprobs", "does not tell log-probabilities"))
    if request.return_token_ids and not info.supports_token_ids:
        lacking.append(("return_token_ids", "does not tell token ids"))
    if request.limits.HasField("max_cost_microusd") and not _has_price(info):
        lacking.append(("limits.max_cost_microusd", "has no known price"))
    if lacking:
        hint = "choose another one (ListModels tells)"
        raise Unsupported([Violation(field, f"the model {info.handle} {told}; {hint}") for field, told in lacking])


def _shows_an_image(request: v1.CreateMessageAsyncRequest) -> bool:
    return any(part.HasField("image") for create in input_of(request) for part in create.content.parts.parts)


def _has_price(model: v1.Model) -> bool:
    return model.HasField("input_microusd_per_mtok") and model.HasField("output_microusd_per_mtok")
