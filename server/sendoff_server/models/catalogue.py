"""Which models there are: handles `provider/name`, each routed to the provider of its first word."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from typing import Protocol

import structlog

from sendoff import v1
from sendoff_server.clock import Clock
from sendoff_server.errors import ModelNotFound
from sendoff_server.models import hosted
from sendoff_server.models.endpoints import ENDPOINTS, configured
from sendoff_server.models.port import Catalogue, Model, ModelFailed
from sendoff_server.settings import ProviderSettings, Settings

REMEMBER_S = 300.0
"""How long what a provider offers is believed."""
REFRESH_ON_MISS_S = 5.0
"""A name that is not offered makes the provider be asked again, but not more often than this."""
LIST_TIMEOUT_S = 10.0
"""How long a provider may take to say what it offers, with everything that must be loaded to ask it."""
_MOST_REMEMBERED = 1_000

_log = structlog.get_logger(__name__)

_HINTS = {endpoint.name: endpoint.hint for endpoint in ENDPOINTS} | {
    "openai": "set OPENAI_API_KEY, or OPENAI_BASE_URL for a compatible endpoint, to use openai/...",
    "anthropic": "set ANTHROPIC_API_KEY to use anthropic/...",
    "local": "install sendoff[local] to use local/...",
    "scripted": "set SENDOFF_SCRIPTED_MODEL=true to use scripted/...",
}


class Provider(Protocol):
    """One source of models, the first word of their handles."""

    @property
    def name(self) -> str:
        """The first word of its handles."""
        ...

    async def list(self) -> Sequence[v1.Model]:
        """What it offers, with whole handles. Raises ModelFailed when it does not answer."""
        ...

    def model(self, name: str) -> Model:
        """The model of that name, offered or not. Cheap: nothing is loaded or connected before it is called."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and processes. Calls under way end."""
        ...


class _Shelf:
    """What one provider offers, as last heard. One refresh at a time."""

    def __init__(self, provider: Provider, clock: Clock) -> None:
        self.provider = provider
        self.offered: dict[str, v1.Model] = {}
        self.reachable = True
        self._clock = clock
        self._asked_at: float | None = None
        self._refreshing = asyncio.Lock()

    def _is_fresh(self, max_age_s: float) -> bool:
        return self._asked_at is not None and self._clock.monotonic() - self._asked_at < max_age_s

    async def refresh(self, max_age_s: float) -> None:
        """Ask the provider again if it was last asked longer ago than that, or at the first time."""
        if self._is_fresh(max_age_s if self.reachable else REFRESH_ON_MISS_S):
            return
        async with self._refreshing:
            if not self._is_fresh(max_age_s if self.reachable else REFRESH_ON_MISS_S):
                await self._ask()

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(LIST_TIMEOUT_S):
                offered = await self.provider.list()
        except (ModelFailed, TimeoutError) as error:
            self.reachable = False
            told = error.reason if isinstance(error, ModelFailed) else "MODEL_TIMEOUT"
            _log.warning("provider does not tell its models", provider=self.provider.name, reason=told)
        else:
            self.reachable = True
            self.offered = {model.handle: model for model in offered}
        self._asked_at = self._clock.monotonic()


class ModelCatalogue(Catalogue):
    """The models of some providers.

    A provider is asked what it offers when somebody wants to know, and the answer is believed for five minutes. A
    provider that does not answer (or that refuses our key) is named in `unreachable`, and `find` then takes any name of
    its: whether a run is accepted must not depend on the provider being up. A name that it does not have fails in the
    call then, with MODEL_NOT_FOUND.
    """

    def __init__(self, providers: Sequence[Provider], clock: Clock, default_handle: str = "") -> None:
        """Raises ValueError for a default handle of a provider that is not among `providers`."""
        self._shelves = {provider.name: _Shelf(provider, clock) for provider in providers}
        self._found: dict[str, Model] = {}
        self._default_handle = default_handle
        if default_handle and default_handle.partition("/")[0] not in self._shelves:
            raise ValueError(f"the default model {default_handle!r} cannot be used: {self._hint(default_handle)}")

    @property
    def default_handle(self) -> str:
        """The model of an agent that names none. Empty: there is none, an agent has to name its model."""
        return self._default_handle

    @property
    def provider_names(self) -> list[str]:
        """The first words of the handles that there are."""
        return sorted(self._shelves)

    async def find(self, handle: str) -> Model:
        model = self._found.get(handle)
        return model if model is not None else await self._look_up(handle)

    async def list(self) -> v1.ListModelsResponse:
        shelves = self._shelves.values()
        await asyncio.gather(*(shelf.refresh(REMEMBER_S) for shelf in shelves))
        self._forget_what_is_gone()
        models = [model for shelf in shelves if shelf.reachable for model in shelf.offered.values()]
        return v1.ListModelsResponse(
            models=sorted(models, key=lambda model: model.handle),
            unreachable=sorted(name for name, shelf in self._shelves.items() if not shelf.reachable),
            default_handle=self._default_handle,
        )

    async def aclose(self) -> None:
        """Close every provider, also when one of them fails to."""
        closing = [shelf.provider.aclose() for shelf in self._shelves.values()]
        outcomes = await asyncio.gather(*closing, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _look_up(self, handle: str) -> Model:
        provider_name, _, name = handle.partition("/")
        shelf = self._shelves.get(provider_name)
        if shelf is None or not name:
            raise ModelNotFound(handle, self._hint(handle))
        await shelf.refresh(REMEMBER_S)
        if handle not in shelf.offered and shelf.reachable:
            await shelf.refresh(REFRESH_ON_MISS_S)
        if handle not in shelf.offered and shelf.reachable:
            raise ModelNotFound(handle)
        return self._remember(handle, shelf.provider.model(name))

    def _remember(self, handle: str, model: Model) -> Model:
        if len(self._found) >= _MOST_REMEMBERED:
            self._found.pop(next(iter(self._found)))
        return self._found.setdefault(handle, model)

    def _forget_what_is_gone(self) -> None:
        for handle in list(self._found):
            shelf = self._shelves[handle.partition("/")[0]]
            if shelf.reachable and handle not in shelf.offered:
                del self._found[handle]

    def _hint(self, handle: str) -> str:
        if not handle:
            return "name one, or set SENDOFF_DEFAULT_MODEL"
        provider_name, slash, _ = handle.partition("/")
        if not slash:
            return "a model is named provider/name"
        configured = ", ".join(f"{name}/..." for name in sorted(self._shelves)) or "none"
        return f"{_HINTS.get(provider_name, 'no such provider')}; configured are: {configured}"


def catalogue(settings: Settings, providers: ProviderSettings, clock: Clock) -> ModelCatalogue:
    """The models that these settings offer. Starts nothing, connects to nothing and imports no model library.

    The default model is `settings.default_model`, else the embedded model if its runtime is installed, else the echo if
    scripted models are offered, else none: what costs money is never chosen unasked. Raises ValueError for a default
    model that no provider here can have.
    """
    offered = list(_hosted(providers, settings.model_timeout_s))
    default_handle = settings.default_model
    if embedded_is_installed():
        from sendoff_server.models.embedded import HANDLE, EmbeddedProvider

        offered.append(EmbeddedProvider(settings.data_dir, settings.model_timeout_s))
        default_handle = default_handle or HANDLE
    if settings.scripted_model:
        from sendoff_server.models.scripted import ECHO, ScriptedModels

        offered.append(ScriptedModels(clock))
        default_handle = default_handle or ECHO
    return ModelCatalogue(offered, clock, default_handle)


def embedded_is_installed() -> bool:
    """Whether the embedded model's runtime is there. It is not imported."""
    return sys.platform != "win32" and importlib.util.find_spec("xllamacpp") is not None


def _hosted(providers: ProviderSettings, silence_s: float) -> Iterator[Provider]:
    for endpoint, key in configured(providers):
        yield hosted.compatible(endpoint, key, silence_s)
    if providers.openai_api_key and not providers.openai_base_url:
        yield hosted.openai(providers.openai_api_key, silence_s)
    if providers.anthropic_api_key:
        yield hosted.anthropic(providers.anthropic_api_key, silence_s, providers.anthropic_base_url)
