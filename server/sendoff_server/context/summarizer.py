"""Who writes the summary of a compaction, and what is asked: the settings of agents, and the server's own words where
they do not tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sendoff import v1
from sendoff_server.context import summary, tokens
from sendoff_server.context.window import Window
from sendoff_server.model_settings import applicable, without
from sendoff_server.models.port import Model, ModelCall

_SELF = frozenset({v1.COMPACTION_MODE_SELF_COMPACT_ALL, v1.COMPACTION_MODE_SELF_COMPACT_SLIDING_WINDOW})
_ALL = frozenset({v1.COMPACTION_MODE_ALL, v1.COMPACTION_MODE_SELF_COMPACT_ALL})
_NOT_FOR_SUMMARIES = ("response_format", "max_output_tokens", "strict")
"""Settings of an agent that are about its answers."""
_AROUND_TOKENS = 40
"""Of what else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summarizer:
    """Writes summaries for one step of a run."""

    settings: v1.CompactionSettings
    model: Model
    """That of the settings, or else the run's."""
    handle: str
    own_settings: v1.ModelSettings
    """How the run's model is called."""

    @property
    def is_agent_itself(self) -> bool:
        """The agent is asked, behind the history that it knows. Else a model is shown the history as one text."""
        return self.settings.mode in _SELF

    @property
    def keeps_nothing(self) -> bool:
        """All history becomes part of the summary."""
        return self.settings.mode in _ALL

    @property
    def kept_share(self) -> float | None:
        """How much of the window may be kept word for word. None: the default."""
        told = self.settings.HasField("sliding_window_percentage")
        return self.settings.sliding_window_percentage if told else None

    def window(self, of_run: Window) -> Window:
        """What may be shown at once."""
        info = self.model.info
        return of_run.at_most(info.context_window) if info.context_window else of_run

    def prompt(self, summary_tokens: int) -> str:
        if self.settings.HasField("prompt"):
            return self.settings.prompt
        return summary.own_prompt(summary_tokens) if self.is_agent_itself else summary.prompt(summary_tokens)

    def prompt_tokens(self, summary_tokens: int) -> int:
        return tokens.of_text(self.prompt(summary_tokens)) + _AROUND_TOKENS

    def clipped(self, words: str) -> str:
        """The summary, as long as it may be."""
        most = self.settings.clip_chars
        if not most or len(words) <= most:
            return words
        return words[: most - len(summary.CUT)] + summary.CUT if most > len(summary.CUT) else words[:most]

    def of_text(self, text: str, summary_tokens: int, run_id: str) -> ModelCall:
        """Shows the history as one text."""
        begun = _promised(summary.ANNOUNCED) if self.settings.prompt_acknowledgement else ()
        return ModelCall(
            handle=self.handle,
            system=self.prompt(summary_tokens),
            messages=[*begun, _said(text)],
            run_id=run_id,
            attempt=0,
            settings=applicable(self.settings.model_settings, self.model.info),
        )

    def of_history(self, system: str, history: Sequence[v1.Message], summary_tokens: int, run_id: str) -> ModelCall:
        """Asks the agent itself."""
        prompt = self.prompt(summary_tokens)
        asked = [*_promised(prompt), _said(summary.GO_ON)] if self.settings.prompt_acknowledgement else [_said(prompt)]
        return ModelCall(
            handle=self.handle,
            system=system,
            messages=[*history, *asked],
            run_id=run_id,
            attempt=0,
            settings=without(self.own_settings, _NOT_FOR_SUMMARIES),
        )


def _said(text: str) -> v1.Message:
    return v1.Message(user_message=v1.UserMessage(content=v1.Content(text=text)))


def _promised(asked: str) -> Sequence[v1.Message]:
    promise = v1.AssistantMessage(content=v1.Content(text=summary.PROMISE))
    return _said(asked), v1.Message(id="promise", assistant_message=promise)
