"""What models of each kind can be set to: names of the fields of `ModelSettings`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sendoff import v1


@dataclass(frozen=True, slots=True)
class Settable:
    """What a model can be set to."""

    settings: Sequence[str] = ()
    formats: Sequence[str] = ()
    """Forms of answers beside text."""

    def put(self, model: v1.Model) -> v1.Model:
        """The model itself, which says so from now on. For one that was not handed on yet."""
        model.supported_settings[:] = self.settings
        model.supported_response_formats[:] = self.formats
        return model


_SAMPLING = ("temperature", "top_p", "max_output_tokens")
_BOTH = ("json_object", "json_schema")

EVERYTHING = Settable(
    tuple(name for name in v1.ModelSettings.DESCRIPTOR.fields_by_name if name != "response_format"), _BOTH
)
CHAT = Settable((*_SAMPLING, "reasoning_effort", "frequency_penalty", "seed", "verbosity", "strict"), _BOTH)
"""Chat completions; which of it a compatible server really takes, only that knows, and refuses the rest."""
RESPONSES = Settable((*_SAMPLING, "strict"), _BOTH)
"""OpenAI's own models that do not reason."""
RESPONSES_REASONING = Settable(("max_output_tokens", "reasoning_effort", "verbosity", "strict"), _BOTH)
"""Those that do."""
MESSAGES = Settable((*_SAMPLING, "reasoning_effort", "max_reasoning_tokens"), ("json_schema",))
"""Anthropic."""
LLAMA = Settable((*_SAMPLING, "frequency_penalty", "seed", "strict"), _BOTH)
"""The embedded model, whose tool calls are bound to their schemas in any case."""
