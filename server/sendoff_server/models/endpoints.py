"""Providers that publish OpenAI's dialect: chat completions and a list of models, a row each.

The addresses and peculiarities are from the providers' own documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pydantic import SecretStr

from sendoff_server.settings import ProviderSettings


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a provider is, and what is peculiar to it."""

    name: str
    """The first word of its handles. Its variables are NAME_API_KEY and NAME_BASE_URL."""
    base_url: str = ""
    """Where it is unless NAME_BASE_URL tells. Empty: only that tells."""
    other_keys: tuple[str, ...] = ()
    """Fields of the settings that may hold its key as well; NAME_API_KEY wins."""
    system: str = ""
    """Whose signatures may be sent there. Empty: those of `name`."""
    prices_of: str = ""
    """The provider as genai-prices calls it. Empty: no prices are known."""
    list_prefix: str = ""
    """What stands before each name in its list, and not in a handle."""
    logprobs_of: str = ""
    """Names of models that tell log-probabilities, a pattern of how they begin. Empty: those whose entry says so."""
    token_ids: bool = False
    """Whether it tells token ids, as vLLM does."""
    asks_for_usage: bool = True
    """Whether a stream's usage must be asked for. False: it is told anyway, and the question is refused."""
    fetches_images: bool = False
    """Whether it fetches pictures by their URL itself, from a network of its own. False: it is shown their bytes."""

    @property
    def key_fields(self) -> tuple[str, ...]:
        """Fields of the settings that may hold its key, the one that wins first."""
        return (f"{self.name}_api_key", *self.other_keys)

    @property
    def url_field(self) -> str:
        """The field of the settings that tells where it is."""
        return f"{self.name}_base_url"

    @property
    def hint(self) -> str:
        """What to do to be offered its models."""
        needed = self.key_fields if self.base_url else (self.url_field,)
        return f"set {' or '.join(needed).upper()} to use {self.name}/..."


_ANY = "."

ENDPOINTS = (
    # What OPENAI_BASE_URL names; OpenAI itself is no row.
    Endpoint(name="openai", system="openai-compatible", logprobs_of=_ANY),
    Endpoint(name="groq", base_url="https://api.groq.com/openai/v1", prices_of="groq", fetches_images=True),
    Endpoint(
        name="mistral",
        base_url="https://api.mistral.ai/v1",
        prices_of="mistral",
        asks_for_usage=False,
        fetches_images=True,
    ),
    Endpoint(
        name="google",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        other_keys=("gemini_api_key",),
        prices_of="google",
        list_prefix="models/",
    ),
    Endpoint(name="deepseek", base_url="https://api.deepseek.com", prices_of="deepseek", logprobs_of="deepseek-chat"),
    Endpoint(name="openrouter", base_url="https://openrouter.ai/api/v1", prices_of="openrouter", fetches_images=True),
    Endpoint(
        name="xai",
        base_url="https://api.x.ai/v1",
        prices_of="x-ai",
        logprobs_of="grok-[23](?!-mini)",
        fetches_images=True,
    ),
    Endpoint(name="together", base_url="https://api.together.xyz/v1", prices_of="together", fetches_images=True),
    Endpoint(name="ollama"),
    Endpoint(name="vllm", logprobs_of=_ANY, token_ids=True),
    Endpoint(name="lmstudio"),
)


def configured(providers: ProviderSettings) -> Iterator[tuple[Endpoint, SecretStr | None]]:
    """The endpoints that can be reached with these settings, as they are to be reached, each with its key.

    A place of the operator's own may need no key, and charges prices that nobody here knows. It may stand in his
    network, so it is given no URL to fetch.
    """
    for endpoint in ENDPOINTS:
        keys: list[SecretStr | None] = [getattr(providers, field) for field in endpoint.key_fields]
        key = next(filter(None, keys), None)
        told: str | None = getattr(providers, endpoint.url_field)
        if told:
            yield replace(endpoint, base_url=told, prices_of="", fetches_images=False), key
        elif endpoint.base_url and key:
            yield endpoint, key
