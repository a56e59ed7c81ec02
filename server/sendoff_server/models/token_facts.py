"""Token ids and log-probabilities out of the model library's response."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from pydantic_ai.messages import ModelResponse, TextPart

from sendoff import v1
from sendoff_server.models.answer import whole
from sendoff_server.models.port import ModelCall


def token_turns(call: ModelCall, response: ModelResponse) -> Sequence[v1.TokenTurn]:
    """What the call asked for and the provider told; nothing if it told nothing."""
    logprobs = list(_logprobs(response))
    ids = list(_ids(response)) if call.token_ids else []
    if not logprobs and not ids:
        return []
    turn = v1.TokenTurn(role="assistant", content=whole("".join(part.content for part in _texts(response))))
    if call.token_ids:
        turn.output_ids.extend(ids)
        if len(logprobs) == len(ids):  # else nobody knows which is whose
            turn.output_token_logprobs.extend(told["logprob"] for told in logprobs)
    if call.top_logprobs is not None:
        turn.logprobs.extend(_told(told, call.top_logprobs) for told in logprobs)
    return [turn]


def _texts(response: ModelResponse) -> Iterator[TextPart]:
    return (part for part in response.parts if isinstance(part, TextPart))


def _logprobs(response: ModelResponse) -> Iterable[Mapping[str, Any]]:
    """Shape: {"token": str, "logprob": float, "bytes": [int] | None, "top_logprobs": [the same without it]}.

    Of the whole answer in chat completions, of each text in the Responses API.
    """
    details = [response.provider_details, *(part.provider_details for part in _texts(response))]
    return chain.from_iterable((told or {}).get("logprobs") or () for told in details)


def _ids(response: ModelResponse) -> Iterator[int]:
    """Source: vLLM's chat completions, `return_token_ids`: the tokens of each chunk in `choices[0].token_ids`."""
    unmapped = (response.provider_details or {}).get("unmapped") or {}
    for chunk in unmapped.get("chunks", ()):
        yield from chunk.get("choice", {}).get("token_ids") or ()


def _told(told: Mapping[str, Any], alternatives: int) -> v1.TokenLogprob:
    """With no more alternatives than that: some servers tell one that nobody wanted."""
    return v1.TokenLogprob(
        token=whole(told["token"]),
        logprob=told["logprob"],
        bytes=_bytes(told),
        top_logprobs=[
            v1.TokenLogprob.Alternative(token=whole(other["token"]), logprob=other["logprob"], bytes=_bytes(other))
            for other in (told.get("top_logprobs") or ())[:alternatives]
        ],
    )


def _bytes(told: Mapping[str, Any]) -> bytes | None:
    return bytes(told["bytes"]) if told.get("bytes") is not None else None
