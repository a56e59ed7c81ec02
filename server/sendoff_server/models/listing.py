"""What a provider offers, asked over HTTP, with the context windows and prices that are known."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sendoff import v1
from sendoff_server.models.failures import failed
from sendoff_server.models.settable import CHAT, Settable

_MOST_BYTES = 16 * 1024 * 1024
_TIMEOUT_S = 3.0
_WINDOWS = ("context_window", "max_model_len", "context_length", "max_context_length", "max_input_tokens")
"""What servers call the size of the context window in their lists."""
_SOME_TOKENS = 1_000  # so few that a price which grows with the length is the lowest one
_MICROUSD_PER_MTOK = 1_000_000 // _SOME_TOKENS * 1_000_000
_NOT_FOR_CHAT = re.compile(
    r"embed|whisper|tts|dall-e|image|moderation|audio|realtime|transcribe|sora|davinci|babbage|instruct|search|rerank"
)
_DATED_ANTHROPIC = re.compile(r"(claude-[a-z]+-\d+-\d+)-\d{8}")


@dataclass(frozen=True, kw_only=True)
class Shop:
    """Where a provider's list is, and how to read it."""

    name: str
    """The first word of its handles."""
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    prices_of: str = ""
    """The provider as genai-prices calls it. Empty: no prices are known."""
    list_prefix: str = ""
    """What stands before each name in the list, and not in its handle."""
    logprobs_of: str = ""
    """Names of models that tell log-probabilities, a pattern of how they begin. Empty: those whose entry says so."""
    token_ids: bool = False
    """Whether its models tell token ids."""
    settable: Callable[[str], Settable] = lambda name: CHAT
    """What its model of that name can be set to."""


def unlisted(shop: Shop, name: str) -> v1.Model:
    """What is known of a model without asking anybody."""
    model = v1.Model(
        handle=f"{shop.name}/{name}",
        # No list tells who can look at images, so the provider decides when it is shown one.
        supports_images=True,
        supports_logprobs=bool(shop.logprobs_of and re.match(shop.logprobs_of, name)),
        supports_token_ids=shop.token_ids,
    )
    return shop.settable(name).put(model)


async def ask(shop: Shop) -> Sequence[v1.Model]:
    """The models of a shop. Raises ModelFailed if it does not answer with a list."""
    await asyncio.to_thread(_import_slow_parts)
    body = await _fetched(shop)
    try:
        return await asyncio.to_thread(_read, shop, body)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise failed("MODEL_ANSWER_INVALID", f"{shop.name} does not answer with a list of models") from None


def _import_slow_parts() -> None:
    """Both are used below; importing them here, in a thread, keeps the loop free."""
    import aiohttp  # noqa: F401  # see above
    import genai_prices  # noqa: F401  # see above


async def _fetched(shop: Shop) -> bytes:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.get(shop.url, headers=shop.headers, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise failed("MODEL_UNAVAILABLE", f"{shop.name} answers {response.status} when asked for its models")
            return await _bounded(response.content.iter_chunked(65_536))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        raise failed("MODEL_UNAVAILABLE", f"{shop.name} does not tell its models") from None


async def _bounded(chunks: AsyncIterator[bytes]) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > _MOST_BYTES:
            raise ValueError("the list is too long")
    return bytes(body)


def _read(shop: Shop, body: bytes) -> Sequence[v1.Model]:
    """Shape: {"data": [{"id": str, ...}]}, at OpenAI and Anthropic alike; Together answers with the bare list."""
    told = json.loads(body)
    return [
        _described(shop, name, entry)
        for entry in (told if isinstance(told, list) else told["data"])
        if isinstance(entry["id"], str)
        for name in _names(shop, entry["id"].removeprefix(shop.list_prefix))
    ]


def _names(shop: Shop, name: str) -> Iterator[str]:
    """The name and, for Anthropic, the alias without a date that it can be called by as well."""
    if shop.prices_of == "openai" and _NOT_FOR_CHAT.search(name):
        return
    yield name
    if shop.prices_of == "anthropic" and (dated := _DATED_ANTHROPIC.fullmatch(name)):
        yield dated[1]


def _window(entry: dict[str, Any]) -> int:
    told = (entry.get(key) for key in _WINDOWS)
    return next((size for size in told if isinstance(size, int) and 0 < size < 2**31), 0)


def _tells_logprobs(entry: dict[str, Any]) -> bool:
    """Shape: {"supported_parameters": [str]}, at OpenRouter."""
    told = entry.get("supported_parameters")
    return isinstance(told, list) and {"logprobs", "top_logprobs"} <= set(told)


def _described(shop: Shop, name: str, entry: dict[str, Any]) -> v1.Model:
    """A model with what its entry tells and what genai-prices knows of it."""
    import genai_prices

    window = _window(entry)
    model = unlisted(shop, name)
    model.context_window = window
    model.supports_logprobs |= _tells_logprobs(entry)
    if not shop.prices_of:
        return model
    some = genai_prices.Usage(input_tokens=_SOME_TOKENS, output_tokens=_SOME_TOKENS)
    try:
        price = genai_prices.calc_price(some, name, provider_id=shop.prices_of)
    except LookupError:
        return model
    model.context_window = window or price.model.context_window or 0
    model.input_microusd_per_mtok = round(price.input_price * _MICROUSD_PER_MTOK)
    model.output_microusd_per_mtok = round(price.output_price * _MICROUSD_PER_MTOK)
    return model
