"""The model library at work: one connection to a provider, and the calls over it.

Importing this module takes a second or more and 60 MB, so only `hosted` imports it, in a thread, when a model is first
called.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, cast

import genai_prices
import httpx2
from openai import DefaultAioHttpClient
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model as LibraryModel
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel, OpenAIResponsesModelSettings
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from sendoff import v1
from sendoff_server.models.answer import GrowingAnswer
from sendoff_server.models.asking import forced, parameters_of, token_settings
from sendoff_server.models.dialect import Dialect
from sendoff_server.models.endpoints import Endpoint
from sendoff_server.models.failures import empty_answer, failed
from sendoff_server.models.fast_openai import NO_KEY, FastOpenAI, LlamaCppOpenAI, UnaskedOpenAI
from sendoff_server.models.library_failures import Secrets, failure_of
from sendoff_server.models.mapping import history
from sendoff_server.models.port import Answer, Delta, Finish, ModelCall
from sendoff_server.models.setting import Body, chat, responses, with_settings
from sendoff_server.models.setting import messages as messages_body
from sendoff_server.models.token_facts import token_turns

CONNECT_TIMEOUT_S = 10.0
_LIMITS = httpx2.Limits(
    max_connections=10_000,  # how many calls are under way is bounded by those who make them
    keepalive_expiry=3.0,  # many servers close what is idle after 5 s; a call that begins just then would break
)
_FINISHES = {
    "stop": Finish.STOP,
    "length": Finish.LENGTH,
    "tool_call": Finish.TOOL_CALLS,
    "content_filter": Finish.REFUSED,
}


@dataclass(frozen=True)
class Connection:
    """One provider, reached through one HTTP client."""

    dialect: Dialect
    http: httpx2.AsyncClient
    build: Callable[[str], LibraryModel]
    settings: ModelSettings
    secrets: Secrets
    body: Body = chat
    """Puts the settings of a call into words."""
    prices_of: str = ""
    """Who asks the price, as genai-prices calls it. Empty: nobody does."""
    models: dict[str, LibraryModel] = field(default_factory=dict)

    def model(self, name: str) -> LibraryModel:
        """The library's model of that name, made once. Takes some milliseconds, the first one a tenth of a second."""
        known = self.models.get(name)
        return known if known is not None else self.models.setdefault(name, self.build(name))

    def dialect_of(self, model: LibraryModel) -> Dialect:
        """OpenAI's models that do not reason would be shown others' reasoning as text between tags."""
        if model.profile.get("openai_supports_encrypted_reasoning_content", True):
            return self.dialect
        return replace(self.dialect, signs_reasoning=False)

    def with_body(self, **members: object) -> Connection:
        """The same connection, with more members in the body of each request."""
        extra_body = self.settings.get("extra_body")
        body = {**(extra_body if isinstance(extra_body, dict) else {}), **members}
        return replace(self, settings=self.settings | ModelSettings(extra_body=body))

    async def aclose(self) -> None:
        await self.http.aclose()


async def stream(connection: Connection, model: LibraryModel, call: ModelCall) -> AsyncGenerator[Delta | Answer]:
    """One call; the promises are the port's."""
    growing = GrowingAnswer(connection.dialect.system)
    messages = history(call, connection.dialect_of(model))
    parameters, settings = _asked(connection, model, call, messages)
    try:
        async with model_request_stream(
            model, messages, model_settings=settings, model_request_parameters=parameters
        ) as events:
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


def _asked(
    connection: Connection, model: LibraryModel, call: ModelCall, messages: list[ModelMessage]
) -> tuple[ModelRequestParameters | None, ModelSettings]:
    parameters, tool_settings = parameters_of(call, messages, connection.dialect)
    settings = connection.settings
    if parameters is not None:
        settings = settings | forced(tool_settings, model)
    settings = with_settings(settings, call.settings, connection.body)
    if _asks_for_tokens(call):
        settings = settings | token_settings(call, settings)
    return parameters, settings


def _asks_for_tokens(call: ModelCall) -> bool:
    return call.token_ids or call.top_logprobs is not None


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
        usage=_usage(connection, response, call.handle.partition("/")[2]),
        finish=finish,
        provider_request_id=response.provider_response_id or "",
        tokens=token_turns(call, response) if _asks_for_tokens(call) else (),
    )


def _usage(connection: Connection, response: ModelResponse, name: str) -> v1.Usage:
    """`name` is what the model was called by.

    The library tells 0 for what it was not told, so a zero among the details stays unset.
    """
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
        cost_microusd=_cost_microusd(used, (response.model_name or name, name), connection.prices_of),
    )


def _cost_microusd(used: RequestUsage, names: Sequence[str], prices_of: str) -> int | None:
    """From the prices that come with genai-prices, of the first name that they know; nothing is asked of the network.
    None: no price is known."""
    if not prices_of:
        return None
    for name in names:
        try:
            price = genai_prices.calc_price(used, name, provider_id=prices_of)
        except LookupError:
            continue
        return round(price.total_price * Decimal(1_000_000))
    return None


def openai_connection(api_key: str, silence_s: float, base_url: str | None = None) -> Connection:
    """OpenAI itself, spoken to in the Responses API; nothing is stored there, reasoning comes back encrypted."""
    http = DefaultAioHttpClient(limits=_LIMITS)
    client = FastOpenAI(api_key=api_key, base_url=base_url, http_client=http, max_retries=0)
    _prepare(client, ResponseStreamEvent, {"type": "response.in_progress", "sequence_number": 0, "response": {}})
    provider = OpenAIProvider(openai_client=client)
    return Connection(
        dialect=Dialect(system=provider.name, signs_reasoning=True, images_in_returns=True),
        http=http,
        build=lambda name: OpenAIResponsesModel(name, provider=provider),
        settings=cast(ModelSettings, OpenAIResponsesModelSettings(openai_store=False)) | _settings(silence_s),
        secrets=Secrets((api_key,)),
        body=responses,
        prices_of="openai",
    )


def compatible_connection(endpoint: Endpoint, api_key: str, silence_s: float) -> Connection:
    """Anything that speaks chat completions. No key: nothing is sent in its place."""
    kind = FastOpenAI if endpoint.asks_for_usage else UnaskedOpenAI
    http = DefaultAioHttpClient(limits=_LIMITS)
    client = kind(api_key=api_key or NO_KEY, base_url=endpoint.base_url, http_client=http, max_retries=0)
    return Connection(
        dialect=Dialect(system=endpoint.system or endpoint.name),
        http=http,
        build=_chat_models(client, endpoint.system or endpoint.name),
        settings=_settings(silence_s),
        secrets=Secrets((api_key,)),
        prices_of=endpoint.prices_of,
    )


def socket_connection(system: str, api_key: str, silence_s: float, path: str, settings: ModelSettings) -> Connection:
    """llama.cpp's server on this machine: chat completions on a Unix socket, without images."""
    # Its server closes a connection once it has streamed an answer: a call that came before that is seen would break.
    once = httpx2.Limits(max_keepalive_connections=0)
    transport = httpx2.AsyncHTTPTransport(uds=path, verify=False, limits=once)
    http = httpx2.AsyncClient(transport=transport, trust_env=False)
    client = LlamaCppOpenAI(api_key=api_key, base_url="http://local/v1", http_client=http, max_retries=0)
    return Connection(
        dialect=Dialect(system=system, takes_images=False),
        http=http,
        build=_chat_models(client, system),
        settings=_settings(silence_s) | settings,
        secrets=Secrets((api_key,)),
    )


def _chat_models(client: FastOpenAI, system: str) -> Callable[[str], LibraryModel]:
    ChatCompletionChunk.model_rebuild()
    # Without the flag a stream that was cut off would pass for one that ended well.
    profile = OpenAIModelProfile(
        openai_chat_streaming_requires_finish_reason=True,
        openai_chat_supports_max_completion_tokens=False,  # compatible servers know the older name
    )
    provider = OpenAICompatibleProvider(system, openai_client=client)
    return lambda name: OpenAIChatModel(name, provider=provider, profile=profile)


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
        dialect=Dialect(
            system=provider.name,
            signs_reasoning=True,
            images_in_returns=True,
            marks_errors=True,
            declares_past_tools=True,
        ),
        http=http,
        build=lambda name: AnthropicModel(name, provider=provider),
        settings=_settings(silence_s),
        secrets=Secrets((api_key,)),
        body=messages_body,
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
    # The library's annotation is another package's class wherever that happens to be installed.
    return ModelSettings(timeout=cast(Any, timeout), max_retries=0)
