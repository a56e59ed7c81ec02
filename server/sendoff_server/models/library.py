"""The model library at work: one connection to a provider, and the calls over it.

Importing this module takes a second or more and 60 MB, so only `hosted` imports it, in a thread, when a model is first
called.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import Any, TypeVar, cast

import genai_prices
import httpx2
from openai import AsyncOpenAI, DefaultAioHttpClient, Omit
from openai.resources.chat import AsyncChat, AsyncCompletions
from openai.resources.responses import AsyncResponses
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel, ValidationError
from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import Model as LibraryModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel, OpenAIResponsesModelSettings
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from sendoff import v1
from sendoff_server.models.answer import GrowingAnswer
from sendoff_server.models.endpoints import Endpoint
from sendoff_server.models.failures import empty_answer, failed
from sendoff_server.models.library_failures import Secrets, failure_of
from sendoff_server.models.mapping import history
from sendoff_server.models.port import Answer, Delta, Finish, ModelCall

CONNECT_TIMEOUT_S = 10.0
_LIMITS = httpx2.Limits(max_connections=10_000)  # how many calls are under way is bounded by those who make them
_FINISHES = {
    "stop": Finish.STOP,
    "length": Finish.LENGTH,
    "tool_call": Finish.TOOL_CALLS,
    "content_filter": Finish.REFUSED,
}
_NO_KEY = "none"  # the SDK must be given one, else it takes OpenAI's out of the environment

_T = TypeVar("_T")


@dataclass(frozen=True)
class Connection:
    """One provider, reached through one HTTP client."""

    system: str
    """Whose signatures may be sent."""
    http: httpx2.AsyncClient
    build: Callable[[str], LibraryModel]
    settings: ModelSettings
    secrets: Secrets
    prices_of: str = ""
    """Who asks the price, as genai-prices calls it. Empty: nobody does."""
    takes_images: bool = True
    models: dict[str, LibraryModel] = field(default_factory=dict)

    def model(self, name: str) -> LibraryModel:
        """The library's model of that name, made once. Takes some milliseconds, the first one a tenth of a second."""
        known = self.models.get(name)
        return known if known is not None else self.models.setdefault(name, self.build(name))

    async def aclose(self) -> None:
        await self.http.aclose()


async def stream(connection: Connection, model: LibraryModel, call: ModelCall) -> AsyncGenerator[Delta | Answer]:
    """One call; the promises are the port's."""
    growing = GrowingAnswer(connection.system)
    messages = history(call, connection.system, takes_images=connection.takes_images)
    try:
        async with model_request_stream(model, messages, model_settings=connection.settings) as events:
            async for event in events:
                delta = growing.take(event)
                if delta is not None:
                    yield delta
            response = events.get()
    except Exception as error:
        raise failure_of(error, call.handle, connection.secrets) from None
    for delta in growing.end():
        yield delta
    yield _answer(connection, call, growing, response)


def _answer(connection: Connection, call: ModelCall, growing: GrowingAnswer, response: ModelResponse) -> Answer:
    finish = _FINISHES.get(response.finish_reason or "")
    if finish is None:
        raise failed("MODEL_ANSWER_INVALID", f"the answer of {call.handle} was cut off", handle=call.handle)
    if not growing.says_something and finish in (Finish.STOP, Finish.TOOL_CALLS):
        raise empty_answer(call.handle)
    if growing.calls_tools and finish is Finish.STOP:
        finish = Finish.TOOL_CALLS  # some compatible servers say "stop" after tool calls
    return Answer(
        parts=growing.parts(),
        usage=_usage(connection, response),
        finish=finish,
        provider_request_id=response.provider_response_id or "",
    )


def _usage(connection: Connection, response: ModelResponse) -> v1.Usage:
    """The library tells 0 for what it was not told, so a zero among the details stays unset."""
    used = response.usage
    if used.unmeasured_requests:
        return v1.Usage()
    return v1.Usage(
        prompt_tokens=used.input_tokens,
        completion_tokens=used.output_tokens,
        total_tokens=used.input_tokens + used.output_tokens,
        cached_input_tokens=used.cache_read_tokens or None,
        cache_write_tokens=used.cache_write_tokens or None,
        reasoning_tokens=used.output_reasoning_tokens or None,
        cost_microusd=_cost_microusd(used, response.model_name or "", connection.prices_of),
    )


def _cost_microusd(used: RequestUsage, model_name: str, prices_of: str) -> int | None:
    """From the prices that come with genai-prices; nothing is asked of the network. None: no price is known."""
    if not prices_of:
        return None
    try:
        price = genai_prices.calc_price(used, model_name, provider_id=prices_of)
    except LookupError:
        return None
    return round(price.total_price * Decimal(1_000_000))


class _FastCompletions(AsyncCompletions):
    """Chat completions that do not walk through the whole history.

    The SDK looks for something to rename in every message, 0.2 ms each, and finds nothing ever. What comes as
    `extra_body` is sent as it is.
    """

    _client: _FastOpenAI

    # One signature stands for the SDK's three overloads.
    async def create(self, *, messages: object, extra_body: object = None, **options: Any) -> Any:
        extra = extra_body if isinstance(extra_body, dict) else {}
        if not self._client.asks_for_usage:
            options.pop("stream_options", None)
        if self._client.api_key == _NO_KEY:
            options["extra_headers"] = {**(options.get("extra_headers") or {}), "Authorization": Omit()}
        return await super().create(messages=[], extra_body={**extra, "messages": messages}, **options)


class _FastResponses(AsyncResponses):
    """The Responses API, likewise."""

    async def create(self, *, input: object = None, extra_body: object = None, **options: Any) -> Any:
        extra = extra_body if isinstance(extra_body, dict) else {}
        return await super().create(extra_body={**extra, "input": input}, **options)


class _FastChat(AsyncChat):
    _client: _FastOpenAI

    @cached_property
    def completions(self) -> AsyncCompletions:
        return _FastCompletions(self._client)


class _FastOpenAI(AsyncOpenAI):
    """OpenAI's client with cheaper chunks.

    The SDK builds every chunk field by field in Python, which is half of the CPU that a streamed token costs.
    Validation gives the same object six times faster; what does not validate is left to the SDK. The method is not
    public: without it, calls are only slower.
    """

    asks_for_usage = True  # of the class, because the library copies clients

    @cached_property
    def chat(self) -> AsyncChat:
        return _FastChat(self)

    @cached_property
    def responses(self) -> AsyncResponses:
        return _FastResponses(self)

    def _process_response_data(self, *, data: object, cast_to: type[_T], response: httpx2.Response) -> _T:
        if isinstance(cast_to, type) and issubclass(cast_to, BaseModel):
            try:
                return cast_to.model_validate(data)
            except ValidationError:
                pass
        return super()._process_response_data(data=data, cast_to=cast_to, response=response)


class _UnaskedOpenAI(_FastOpenAI):
    """For servers that tell the usage unasked, and refuse to be asked."""

    asks_for_usage = False


def openai_connection(api_key: str, silence_s: float, base_url: str | None = None) -> Connection:
    """OpenAI itself, spoken to in the Responses API; nothing is stored there, reasoning comes back encrypted."""
    http = DefaultAioHttpClient(limits=_LIMITS)
    client = _FastOpenAI(api_key=api_key, base_url=base_url, http_client=http, max_retries=0)
    _prepare(client, ResponseStreamEvent, {"type": "response.in_progress", "sequence_number": 0, "response": {}})
    provider = OpenAIProvider(openai_client=client)
    return Connection(
        system=provider.name,
        http=http,
        build=lambda name: OpenAIResponsesModel(name, provider=provider),
        settings=cast(ModelSettings, OpenAIResponsesModelSettings(openai_store=False)) | _settings(silence_s),
        secrets=Secrets((api_key,)),
        prices_of="openai",
    )


def compatible_connection(endpoint: Endpoint, api_key: str, silence_s: float) -> Connection:
    """Anything that speaks chat completions. No key: nothing is sent in its place."""
    return _chat_connection(endpoint, api_key, silence_s, DefaultAioHttpClient(limits=_LIMITS))


def socket_connection(system: str, api_key: str, silence_s: float, path: str, settings: ModelSettings) -> Connection:
    """A server on this machine that speaks chat completions on a Unix socket and takes no images."""
    http = httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(uds=path, verify=False), trust_env=False)
    connection = _chat_connection(Endpoint(name=system, base_url="http://local/v1"), api_key, silence_s, http)
    return replace(connection, settings=connection.settings | settings, takes_images=False)


def _chat_connection(endpoint: Endpoint, api_key: str, silence_s: float, http: httpx2.AsyncClient) -> Connection:
    kind = _FastOpenAI if endpoint.asks_for_usage else _UnaskedOpenAI
    client = kind(api_key=api_key or _NO_KEY, base_url=endpoint.base_url, http_client=http, max_retries=0)
    ChatCompletionChunk.model_rebuild()
    # Without the flag a stream that was cut off would pass for one that ended well.
    profile = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)
    provider = OpenAICompatibleProvider(endpoint.system or endpoint.name, openai_client=client)
    return Connection(
        system=provider.name,
        http=http,
        build=lambda name: OpenAIChatModel(name, provider=provider, profile=profile),
        settings=_settings(silence_s),
        secrets=Secrets((api_key,)),
        prices_of=endpoint.prices_of,
    )


def anthropic_connection(api_key: str, silence_s: float, base_url: str | None = None) -> Connection:
    """Anthropic, or another endpoint that speaks its messages API."""
    from anthropic import AsyncAnthropic
    from anthropic import DefaultAioHttpClient as AnthropicHttpClient
    from anthropic.types.beta import BetaRawMessageStreamEvent
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    http = AnthropicHttpClient(limits=_LIMITS)
    client = AsyncAnthropic(api_key=api_key, base_url=base_url, http_client=http, max_retries=0)
    _prepare(client, BetaRawMessageStreamEvent, {"type": "message_stop"})
    provider = AnthropicProvider(anthropic_client=client)
    return Connection(
        system=provider.name,
        http=http,
        build=lambda name: AnthropicModel(name, provider=provider),
        settings=_settings(silence_s),
        secrets=Secrets((api_key,)),
        prices_of="anthropic",
    )


def _prepare(client: object, event_type: object, event: dict[str, Any]) -> None:
    """Let an SDK build its validators, which takes it up to a second, here in the thread and not at the first event."""
    process = getattr(client, "_process_response_data", None)  # not public: without it only the first call is slower
    if process is not None:
        process(data=event, cast_to=event_type, response=httpx2.Response(200))


def _settings(silence_s: float) -> ModelSettings:
    """No retries: the loop repeats whole steps. The timeout is for silence, not for the whole answer."""
    timeout = httpx2.Timeout(silence_s, connect=min(CONNECT_TIMEOUT_S, silence_s), pool=None)
    return ModelSettings(timeout=timeout, max_retries=0)
