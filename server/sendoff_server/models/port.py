"""What the loop asks of a model, whoever makes it.

A `Model` streams one answer. A `Catalogue` knows which models there are. Adapters (the model library, the embedded
model, the scripted model) stand beside this file and are chosen by `app.py`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from sendoff import v1


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a model is told of it."""

    name: str
    description: str
    parameters: str
    """JSON Schema of its arguments, as text; an object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One question to a model."""

    handle: str
    system: str
    """The system prompt; empty for none."""
    messages: Sequence[v1.Message]
    """History and input, oldest first, ending with the newest input. Entries that share an `id` are one answer of a
    model."""
    run_id: str
    attempt: int
    """How often this step was tried before: 0, 1, 2."""
    tools: Sequence[ToolSpec] = ()
    """Those that may be called now. History may hold calls of others."""
    must_call: bool = False
    """The answer has to call one of `tools`."""
    parallel_calls: bool = True
    """Whether one answer may call several tools."""
    top_logprobs: int | None = None
    """Log-probabilities are wanted, with so many alternatives for each token. None: they are not."""
    token_ids: bool = False
    """Token ids are wanted."""
    settings: v1.ModelSettings = field(default_factory=v1.ModelSettings)
    """How it is to be called: only what it can be set to."""
    timezone: str = ""
    """In which it is told times, as the IANA database names it; empty for UTC."""


class DeltaKind(Enum):
    TEXT = "text"
    REASONING = "reasoning"
    TOOL_ARGUMENTS = "tool_arguments"


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer. Pieces of one part come in order; a part never changes its kind."""

    part_index: int
    kind: DeltaKind
    text: str


class Finish(Enum):
    """Why the model stopped."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The whole answer. `parts[i]` is what the deltas of part_index i add up to; all text is valid UTF-8."""

    parts: Sequence[v1.ContentPart]
    usage: v1.Usage
    """Without step_count and context_tokens, which the loop counts."""
    finish: Finish
    provider_request_id: str = ""
    tokens: Sequence[v1.TokenTurn] = ()
    """Token ids and log-probabilities, where they were asked for. Without message_id, which the loop gives."""


class Model(Protocol):
    """One model that can be called."""

    @property
    def info(self) -> v1.Model:
        """Handle, context window, capabilities, prices."""
        ...

    @property
    def wants_image_bytes(self) -> bool:
        """Whether it has to be shown the bytes of a picture that is told by its URL: because its endpoint cannot fetch
        it, or stands where it reaches more than those who name URLs should."""
        return False

    def stream(self, call: ModelCall) -> AsyncGenerator[Delta | Answer]:
        """Call the model once: deltas as they come, then exactly one `Answer`, which is last.

        Raises ModelFailed. Never repeats by itself. Cancelling the task, or closing the generator, ends the call at the
        provider.
        """
        ...


class Catalogue(Protocol):
    """The models of this server."""

    @property
    def default_handle(self) -> str:
        """The model of an agent that names none."""
        ...

    async def find(self, handle: str) -> Model:
        """The model of that handle, fast for one that was found before. Raises errors.ModelNotFound."""
        ...

    async def list(self) -> v1.ListModelsResponse:
        """All models in the order of their handles, with the providers that did not answer."""
        ...


@dataclass(slots=True)
class ModelFailed(Exception):
    """A model call that gave no usable answer."""

    reason: str
    """UPPER_SNAKE for RunError.reason: MODEL_RATE_LIMITED, MODEL_OVERLOADED, MODEL_UNAVAILABLE, MODEL_TIMEOUT,
    MODEL_AUTHENTICATION, MODEL_QUOTA_EXCEEDED, MODEL_NOT_FOUND, MODEL_REJECTED_REQUEST, MODEL_ANSWER_INVALID,
    MODEL_REFUSED, CONTEXT_OVERFLOW, MODEL_ERROR."""
    stop_reason: v1.StopReason.ValueType
    message: str
    """For people: no secrets, no traceback."""
    retryable: bool = False
    """Whether the same call may work if it is made again soon."""
    retry_after_s: float | None = None
    """How long the provider asks to wait. None: not told."""
    metadata: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"
