"""Providers that are reached over the network, through the model library. Light: the library is loaded at the first
call."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import SecretStr

from sendoff import v1
from sendoff_server.models.endpoints import Endpoint
from sendoff_server.models.listing import Shop, ask, unlisted
from sendoff_server.models.port import Answer, Delta, Model, ModelCall
from sendoff_server.models.settable import MESSAGES, RESPONSES, RESPONSES_REASONING, Settable

if TYPE_CHECKING:
    from sendoff_server.models.library import Connection

Connect = Callable[[], "Connection"]
"""Loads the library and makes a connection without connecting yet. Slow; called in a thread."""

OPENAI_URL = "https://api.openai.com/v1"
ANTHROPIC_URL = "https://api.anthropic.com"
_OPENAI_LOGPROBS = r"gpt-4|gpt-3\.5|chatgpt-4o"  # models that reason have none


class HostedModel(Model):
    """A model behind a provider's connection."""

    def __init__(self, provider: HostedProvider, name: str) -> None:
        self._provider = provider
        self._name = name

    @property
    def info(self) -> v1.Model:
        return self._provider.info(self._name)

    @property
    def wants_image_bytes(self) -> bool:
        return not self._provider.fetches_images

    async def stream(self, call: ModelCall) -> AsyncGenerator[Delta | Answer]:
        connection = await self._provider.connection(self._name)
        from sendoff_server.models.library import stream

        async with aclosing(stream(connection, connection.model(self._name), call)) as items:
            async for item in items:
                yield item


class HostedProvider:
    """One provider: its list, and one connection for all its models."""

    def __init__(self, shop: Shop, connect: Connect, *, fetches_images: bool = False) -> None:
        """`fetches_images`: it fetches pictures by their URL itself, from a network of its own."""
        self.name = shop.name
        self.fetches_images = fetches_images
        self._shop = shop
        self._connect = connect
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._infos: dict[str, v1.Model] = {}

    async def list(self) -> Sequence[v1.Model]:
        models = await ask(self._shop)
        self._infos = {model.handle: model for model in models}
        return models

    def model(self, name: str) -> Model:
        return HostedModel(self, name)

    def info(self, name: str) -> v1.Model:
        """What the provider's last list tells of a model, or what is known without it."""
        return self._infos.get(f"{self.name}/{name}") or unlisted(self._shop, name)

    async def connection(self, name: str) -> Connection:
        """The connection, ready to call that model. Loads the library at the first time, in a thread."""
        connection = self._connection
        if connection is None or name not in connection.models:
            async with self._connecting:
                connection = await asyncio.to_thread(self._ready, name)
                self._connection = connection
        return connection

    def _ready(self, name: str) -> Connection:
        connection = self._connection or self._connect()
        connection.model(name)
        return connection

    async def aclose(self) -> None:
        """Close the connection; calls under way fail."""
        if self._connection is not None:
            await self._connection.aclose()


def openai(key: SecretStr, silence_s: float) -> HostedProvider:
    """OpenAI itself. `silence_s`: how long it may say nothing."""

    def connect() -> Connection:
        from sendoff_server.models.library import openai_connection

        return openai_connection(key.get_secret_value(), silence_s)

    shop = Shop(
        name="openai",
        url=f"{OPENAI_URL}/models",
        headers=_bearer(key),
        prices_of="openai",
        logprobs_of=_OPENAI_LOGPROBS,
        settable=_openai_settable,
    )
    return HostedProvider(shop, connect, fetches_images=True)


def _openai_settable(name: str) -> Settable:
    return RESPONSES if re.match(_OPENAI_LOGPROBS, name) else RESPONSES_REASONING


def compatible(endpoint: Endpoint, key: SecretStr | None, silence_s: float) -> HostedProvider:
    """A provider that speaks chat completions. Without a key it is asked without one."""
    endpoint = replace(endpoint, base_url=endpoint.base_url.rstrip("/"))

    def connect() -> Connection:
        from sendoff_server.models.library import compatible_connection

        return compatible_connection(endpoint, key.get_secret_value() if key else "", silence_s)

    shop = Shop(
        name=endpoint.name,
        url=f"{endpoint.base_url}/models",
        headers=_bearer(key) if key else {},
        prices_of=endpoint.prices_of,
        list_prefix=endpoint.list_prefix,
        logprobs_of=endpoint.logprobs_of,
        token_ids=endpoint.token_ids,
    )
    return HostedProvider(shop, connect, fetches_images=endpoint.fetches_images)


def anthropic(key: SecretStr, silence_s: float, base_url: str | None) -> HostedProvider:
    """Anthropic, or another endpoint that speaks its API."""
    base_url = (base_url or ANTHROPIC_URL).rstrip("/")

    def connect() -> Connection:
        from sendoff_server.models.library import anthropic_connection

        return anthropic_connection(key.get_secret_value(), silence_s, base_url)

    headers = {"x-api-key": key.get_secret_value(), "anthropic-version": "2023-06-01"}
    shop = Shop(
        name="anthropic",
        url=f"{base_url}/v1/models?limit=1000",
        headers=headers,
        prices_of="anthropic",
        settable=lambda name: MESSAGES,
    )
    return HostedProvider(shop, connect, fetches_images=base_url == ANTHROPIC_URL)


def _bearer(key: SecretStr) -> dict[str, str]:
    return {"authorization": f"Bearer {key.get_secret_value()}"}
