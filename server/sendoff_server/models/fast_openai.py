"""OpenAI's client made cheaper, and made to fit servers that differ."""

from __future__ import annotations

from functools import cached_property
from typing import Any, TypeVar

import httpx2
from openai import AsyncOpenAI, Omit
from openai.resources.chat import AsyncChat, AsyncCompletions
from openai.resources.responses import AsyncResponses
from pydantic import BaseModel, ValidationError

NO_KEY = "none"
"""The SDK must be given a key, else it takes OpenAI's out of the environment; this one is not sent."""

_T = TypeVar("_T")


class _FastCompletions(AsyncCompletions):
    """Chat completions that do not walk through the whole history.

    The SDK looks for something to rename in every message, 0.2 ms each, and finds nothing ever. What comes as
    `extra_body` is sent as it is.
    """

    _client: FastOpenAI

    # One signature stands for the SDK's three overloads.
    async def create(self, *, messages: object, extra_body: object = None, **options: Any) -> Any:
        extra = extra_body if isinstance(extra_body, dict) else {}
        if not self._client.asks_for_usage:
            options.pop("stream_options", None)
        if options.get("top_logprobs") == 0:
            options["top_logprobs"] = self._client.fewest_alternatives
        if self._client.api_key == NO_KEY:
            options["extra_headers"] = {**(options.get("extra_headers") or {}), "Authorization": Omit()}
        return await super().create(messages=[], extra_body={**extra, "messages": messages}, **options)


class _FastResponses(AsyncResponses):
    """The Responses API, likewise."""

    async def create(self, *, input: object = None, extra_body: object = None, **options: Any) -> Any:
        extra = extra_body if isinstance(extra_body, dict) else {}
        return await super().create(extra_body={**extra, "input": input}, **options)


class _FastChat(AsyncChat):
    _client: FastOpenAI

    @cached_property
    def completions(self) -> AsyncCompletions:
        return _FastCompletions(self._client)


class FastOpenAI(AsyncOpenAI):
    """OpenAI's client with cheaper chunks.

    The SDK builds every chunk field by field in Python, which is half of the CPU that a streamed token costs.
    Validation gives the same object six times faster; what does not validate is left to the SDK. The method is not
    public: without it, calls are only slower.
    """

    asks_for_usage = True  # of the class, because the library copies clients
    fewest_alternatives = 0
    """How many of them must be asked for to be told the log-probabilities of the tokens themselves."""

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


class UnaskedOpenAI(FastOpenAI):
    """For servers that tell the usage unasked, and refuse to be asked."""

    asks_for_usage = False


class LlamaCppOpenAI(FastOpenAI):
    """For llama.cpp's server, which tells the id of a token beside its log-probability, and not as vLLM does."""

    fewest_alternatives = 1

    def _process_response_data(self, *, data: object, cast_to: type[_T], response: httpx2.Response) -> _T:
        for choice in data.get("choices", ()) if isinstance(data, dict) else ():
            if told := (choice.get("logprobs") or {}).get("content"):
                choice["token_ids"] = [token["id"] for token in told]
        return super()._process_response_data(data=data, cast_to=cast_to, response=response)
