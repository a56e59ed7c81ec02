"""What callers can do with registered receivers. Both doors call this; messages of `sendoff.v1` go in and out.

Secrets leave in two answers only: of the call that makes an endpoint, also when it is repeated, and of the one that
makes a new secret.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC
from typing import Protocol

from google.protobuf.field_mask_pb2 import FieldMask

from sendoff import v1
from sendoff_server import ids, validation
from sendoff_server.callbacks.courier import Courier
from sendoff_server.callbacks.secrets import EndpointSecrets
from sendoff_server.callbacks.signing import new_secret
from sendoff_server.clock import SECOND_NS, Clock, timestamp
from sendoff_server.errors import (
    EndpointHasNoUrl,
    EndpointNotFound,
    EtagMismatch,
    IdempotencyMismatch,
    InvalidRequest,
    TooManyEndpoints,
    TooManySecrets,
    Violation,
)
from sendoff_server.outgoing.guard import Guard
from sendoff_server.paging import Page, by_time
from sendoff_server.store.items import Full, Key, Mismatched
from sendoff_server.store.port import Store
from sendoff_server.store.questions import Endpoint, Secret
from sendoff_server.validation.limits import MAX_ENDPOINTS, MAX_SECRETS

DEFAULT_PAGE = 50
DEFAULT_OVERLAP_NS = 24 * 3_600 * SECOND_NS
TEST_TYPE = "endpoint.test"
_TESTS_AT_ONCE = 16
"""Of all callers; others wait for their turn."""


class Agents(Protocol):
    """Where agents are found."""

    async def find(self, tenant: str, agent_id: str) -> v1.Agent:
        """Raises AgentNotFound."""
        ...


class EndpointService:
    """The use cases of endpoints."""

    def __init__(
        self,
        store: Store,
        agents: Agents,
        courier: Courier,
        guard: Guard,
        clock: Clock,
        *,
        secrets: EndpointSecrets,
        made: Callable[[], None],
    ) -> None:
        """`made` is called when there is a new endpoint."""
        self._store = store
        self._agents = agents
        self._courier = courier
        self._guard = guard
        self._secrets = secrets
        self._clock = clock
        self._made = made
        self._testing = asyncio.Semaphore(_TESTS_AT_ONCE)

    async def create(self, tenant: str, request: v1.CreateEndpointRequest) -> v1.CreateEndpointResponse:
        validation.check_create_endpoint(request)
        wanted = request.endpoint
        self._check_url(wanted)
        if wanted.HasField("agent_id"):
            await self._agents.find(tenant, wanted.agent_id)
        key = Key("endpoint", request.request_id) if request.request_id else None
        fingerprint = hashlib.blake2b(wanted.SerializeToString(deterministic=True), digest_size=16).digest()
        match await self._store.create_endpoint(tenant, self._new(tenant, wanted), key, fingerprint, MAX_ENDPOINTS):
            case Mismatched(known, endpoint_id):
                raise IdempotencyMismatch(known.value, endpoint_id)
            case Full():
                raise TooManyEndpoints(MAX_ENDPOINTS)
            case Endpoint() as created:
                self._made()
                return v1.CreateEndpointResponse(endpoint=created.told, secret=self._secrets.newest(tenant, created))

    def _new(self, tenant: str, wanted: v1.CallbackEndpoint) -> Endpoint:
        endpoint = v1.CallbackEndpoint()
        endpoint.CopyFrom(wanted)
        endpoint.id = ids.new("endpoint")
        endpoint.etag = ids.etag()
        now = timestamp(self._clock.now_ns())
        endpoint.create_time.CopyFrom(now)
        endpoint.update_time.CopyFrom(now)
        secrets = [Secret(new_secret())] if endpoint.HasField("url") else []
        return Endpoint(endpoint, self._secrets.sealed(tenant, endpoint.id, secrets))

    async def get(self, tenant: str, request: v1.GetEndpointRequest) -> v1.CallbackEndpoint:
        validation.check_get_endpoint(request)
        return (await found_endpoint(self._store, tenant, request.endpoint_id)).told

    async def list(self, tenant: str, request: v1.ListEndpointsRequest) -> v1.ListEndpointsResponse:
        validation.check_list_endpoints(request)
        page = Page(request, DEFAULT_PAGE)
        endpoints, token = page.of(by_time(await self._store.list_endpoints(tenant, page.after, page.enough)))
        return v1.ListEndpointsResponse(endpoints=endpoints, next_page_token=token)

    async def update(self, tenant: str, request: v1.UpdateEndpointRequest) -> v1.CallbackEndpoint:
        """Change an endpoint. A change made by somebody else meanwhile, the server's when it disables one for example,
        is not overwritten when the caller sent an etag; without one the fields of this request are put upon whatever is
        there."""
        validation.check_update_endpoint(request)
        wanted = request.endpoint
        fields = request.update_mask.paths if request.HasField("update_mask") else _not_empty(wanted)
        if "url" in fields:
            self._check_url(wanted)
        while True:
            current = await found_endpoint(self._store, tenant, request.endpoint_id)
            if wanted.etag not in ("", current.told.etag):
                raise EtagMismatch(request.endpoint_id, wanted.etag)
            _check_kept(current.told, wanted, fields)
            secrets = self._secrets.sealed(tenant, request.endpoint_id, current.secrets)
            changed = Endpoint(self._changed(current.told, wanted, fields), secrets)
            if await self._store.update_endpoint(tenant, changed, current.told.etag):
                return changed.told

    async def delete(self, tenant: str, request: v1.DeleteEndpointRequest) -> v1.DeleteEndpointResponse:
        validation.check_delete_endpoint(request)
        if not await self._store.delete_endpoint(tenant, request.endpoint_id):
            raise EndpointNotFound(request.endpoint_id)
        return v1.DeleteEndpointResponse()

    async def rotate_secret(self, tenant: str, request: v1.RotateSecretRequest) -> v1.RotateSecretResponse:
        validation.check_rotate_secret(request)
        overlap_ns = request.overlap.ToNanoseconds() if request.HasField("overlap") else DEFAULT_OVERLAP_NS
        while True:
            current = await found_endpoint(self._store, tenant, request.endpoint_id)
            if not current.told.HasField("url"):
                raise EndpointHasNoUrl(request.endpoint_id)
            secrets = rotated(current, self._clock.now_ns(), overlap_ns)
            sealed = self._secrets.sealed(tenant, request.endpoint_id, secrets)
            changed = Endpoint(self._changed(current.told, current.told, ()), sealed)
            if await self._store.update_endpoint(tenant, changed, current.told.etag):
                return v1.RotateSecretResponse(secret=secrets[0].text)

    async def test(self, tenant: str, request: v1.TestEndpointRequest) -> v1.TestEndpointResponse:
        validation.check_test_endpoint(request)
        endpoint = await found_endpoint(self._store, tenant, request.endpoint_id)
        if not endpoint.told.HasField("url"):
            raise EndpointHasNoUrl(request.endpoint_id)
        async with self._testing:
            attempt = await self._courier.try_endpoint(tenant, endpoint, self._test_body(request.endpoint_id))
        return v1.TestEndpointResponse(attempt=attempt)

    def _test_body(self, endpoint_id: str) -> str:
        now = timestamp(self._clock.now_ns()).ToDatetime(UTC).isoformat().replace("+00:00", "Z")
        told = {"type": TEST_TYPE, "timestamp": now, "data": {"endpoint_id": endpoint_id}}
        return json.dumps(told, separators=(",", ":"))

    def _changed(
        self, current: v1.CallbackEndpoint, wanted: v1.CallbackEndpoint, fields: Sequence[str]
    ) -> v1.CallbackEndpoint:
        endpoint = v1.CallbackEndpoint()
        endpoint.CopyFrom(current)
        FieldMask(paths=fields).MergeMessage(wanted, endpoint, replace_message_field=True, replace_repeated_field=True)
        if not endpoint.disabled:
            endpoint.disabled_reason = ""
        endpoint.update_time.CopyFrom(timestamp(self._clock.now_ns()))
        endpoint.etag = ids.etag()
        return endpoint

    def _check_url(self, endpoint: v1.CallbackEndpoint) -> None:
        if endpoint.HasField("url") and (fault := self._guard.fault_of(endpoint.url)):
            raise InvalidRequest([Violation("endpoint.url", fault)])


async def found_endpoint(store: Store, tenant: str, endpoint_id: str) -> Endpoint:
    """Raises EndpointNotFound."""
    endpoint = await store.endpoint(tenant, endpoint_id)
    if endpoint is None:
        raise EndpointNotFound(endpoint_id)
    return endpoint


def _not_empty(endpoint: v1.CallbackEndpoint) -> list[str]:
    return [field.name for field, _ in endpoint.ListFields() if field.name in validation.ENDPOINT_UPDATABLE]


def _check_kept(current: v1.CallbackEndpoint, wanted: v1.CallbackEndpoint, fields: Sequence[str]) -> None:
    """Raise InvalidRequest for changes that an endpoint cannot go through."""
    found: list[Violation] = []
    if "url" in fields and wanted.HasField("url") != current.HasField("url"):
        has = "has a URL and must keep one" if current.HasField("url") else "has no URL and cannot be given one"
        found.append(Violation("endpoint.url", f"the endpoint {has}; make another endpoint instead"))
    if wanted.HasField("agent_id") and wanted.agent_id != current.agent_id:
        found.append(Violation("endpoint.agent_id", "cannot be changed; make another endpoint instead"))
    if found:
        raise InvalidRequest(found)


def rotated(endpoint: Endpoint, now_ns: int, overlap_ns: int) -> list[Secret]:
    """A new secret and those that go on signing beside it, none of them longer than before. Raises TooManySecrets."""
    until_ns = now_ns + overlap_ns
    ends = [
        (secret, until_ns if secret.until_ns is None else min(secret.until_ns, until_ns)) for secret in endpoint.secrets
    ]
    going_on = [Secret(secret.text, end_ns) for secret, end_ns in ends if end_ns > now_ns]
    if len(going_on) >= MAX_SECRETS:
        raise TooManySecrets(endpoint.told.id, MAX_SECRETS)
    return [Secret(new_secret()), *going_on]
