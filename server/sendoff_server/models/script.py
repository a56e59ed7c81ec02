"""What a script may say: the shape of `{"script": {...}}`, see `scripted`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sendoff_server.models.failures import failed

_MOST_MILLISECONDS = 24 * 3_600_000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ScriptedUsage(_Strict):
    """What the answer claims to have used. A member that is left out is unknown, `total_tokens` is the sum if that is
    known."""

    prompt_tokens: int | None = Field(default=None, ge=0)
    completion_tokens: int | None = Field(default=None, ge=0)
    total_tokens: int | None = Field(default=None, ge=0)
    cached_input_tokens: int | None = Field(default=None, ge=0)
    cache_write_tokens: int | None = Field(default=None, ge=0)
    reasoning_tokens: int | None = Field(default=None, ge=0)
    cost_microusd: int | None = Field(default=None, ge=0)


class ScriptedToolCall(_Strict):
    """A tool call. Arguments that are a string are taken as the model's raw text, valid JSON or not."""

    name: str = Field(min_length=1)
    arguments: dict[str, Any] | str = Field(default_factory=dict)
    id: str | None = Field(default=None, min_length=1, max_length=256)
    """None: one that no other call has."""


class ScriptedToken(_Strict):
    """A token of the answer, for calls that ask for token ids or log-probabilities."""

    token: str
    id: int = Field(default=0, ge=0, lt=2**31)
    logprob: float = Field(default=0.0, le=0.0)


class ScriptedError(_Strict):
    """A failure of the call after `after_chunks` chunks, or after all of them if there are fewer."""

    kind: Literal[
        "rate_limit",
        "overloaded",
        "unavailable",
        "timeout",
        "authentication",
        "quota",
        "context",
        "rejected",
        "invalid",
    ]
    after_chunks: int = Field(default=0, ge=0)
    attempts: int | None = Field(default=None, ge=0)
    """Fail only while `ModelCall.attempt` is less. None: always."""
    retry_after_s: float | None = Field(default=None, ge=0)


class ScriptedStep(_Strict):
    """What one call of the model does: reasoning, then text, then tool calls, in chunks; then it fails, hangs or
    ends."""

    text: str | None = None
    words: int | None = Field(default=None, ge=1, le=1_000_000)
    """Instead of `text`: so many made-up words, always the same."""
    chunk_words: int = Field(default=1, ge=1)
    delay_ms: float = Field(default=0, ge=0, le=_MOST_MILLISECONDS)
    """Between two chunks."""
    first_delay_ms: float = Field(default=0, ge=0, le=_MOST_MILLISECONDS)
    reasoning: str = ""
    usage: ScriptedUsage | None = None
    """None: one token for each word of the last user message and of the answer."""
    finish: Literal["stop", "length", "refused", "tool_calls"] | None = None
    """None: tool_calls if there are some, else stop."""
    tool_calls: tuple[ScriptedToolCall, ...] = Field(default=(), strict=False)
    tokens: tuple[ScriptedToken, ...] | None = Field(default=None, strict=False)
    """What it tells if it is asked for tokens. None: one for each chunk of the text, with made-up facts, always the
    same."""
    error: ScriptedError | None = None
    hang: bool = False
    """After the chunks, wait until cancelled."""
    expect_tools: tuple[str, ...] | None = Field(default=None, strict=False)
    """The tools that must be offered, in any order; else the call is refused. None: any."""
    expect_must_call: bool | None = None
    """Whether it must be made to call one of them; else the call is refused. None: either way."""
    expect_settings: dict[str, Any] | None = None
    """The `ModelSettings` that it must be called with, as proto JSON with the names of the contract; else the call is
    refused. None: any."""
    expect_messages: int | None = Field(default=None, ge=0)
    """How many messages it must be shown; else the call is refused. None: any number."""

    @model_validator(mode="after")
    def _one_text(self) -> ScriptedStep:
        if self.text is not None and self.words is not None:
            raise ValueError("text and words exclude each other")
        return self


class Script(ScriptedStep):
    """What a model does in a turn, call by call."""

    steps: tuple[ScriptedStep, ...] = Field(default=(), strict=False, max_length=1_000)
    """One for each call since the user's newest message. Empty: the script is its own only step."""
    repeat: bool = False
    """Whether the last step is played again for each further call. False: those answer "done"."""

    @model_validator(mode="after")
    def _steps_alone(self) -> Script:
        if self.steps and self.model_fields_set - {"steps", "repeat"}:
            raise ValueError("beside steps there can only be repeat")
        return self

    @property
    def played(self) -> Sequence[ScriptedStep]:
        """The steps, at least one."""
        return self.steps or (self,)


class _Sheet(_Strict):
    script: Script


def looks_like_a_script(text: str) -> bool:
    return '"script"' in text and text.lstrip().startswith("{")


def read(text: str) -> Script:
    """The script that a text is. Raises ModelFailed, naming each fault."""
    try:
        return _Sheet.model_validate_json(text).script
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()[:8])
        raise failed("MODEL_REJECTED_REQUEST", f"the script cannot be played: {faults}") from None
