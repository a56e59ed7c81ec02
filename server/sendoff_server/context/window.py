"""When a context is too large for a model's window, and how much of it may stay. Pure rules."""

from __future__ import annotations

from dataclasses import dataclass

from sendoff import v1

ASSUMED_TOKENS = 32_000
"""The window of a model of which nobody tells."""

_FULL = 0.9  # from here on the window is held to be full: the rest is for the answer, and for the error of our guess
_AIM = 0.5  # what a compacted context may take; the window is to last for some turns then
_KEEP = 0.3  # what messages may take of it that are kept word for word
_SURE = 1.2  # guesses are hardly ever wrong by more
_MOST_OFF = 4.0
_LONGEST_SUMMARY, _SHORTEST_SUMMARY, _SUMMARIES = 1_000, 60, 40


@dataclass(frozen=True, slots=True)
class Window:
    """A model's window, in tokens as we guess them."""

    tokens: int
    is_known: bool

    @classmethod
    def of(cls, model: v1.Model, limit: int = 0) -> Window:
        """`limit`: at most so many; 0 for as many as there are."""
        if limit and (limit < model.context_window or not model.context_window):
            return cls(limit, is_known=True)
        return cls(model.context_window or ASSUMED_TOKENS, model.context_window > 0)

    def is_full(self, context_tokens: int) -> bool:
        return context_tokens > self.tokens * _FULL

    def surely_too_small(self, fixed_tokens: int) -> bool:
        """Whether there is no use in asking. Between full and this, the provider decides."""
        return self.is_known and fixed_tokens > self.tokens * _SURE

    @property
    def summary_tokens(self) -> int:
        """How long a summary should be."""
        return max(_SHORTEST_SUMMARY, min(_LONGEST_SUMMARY, self.tokens // _SUMMARIES))

    def kept_tokens(self, fixed_tokens: int, share: float | None = None) -> int:
        """How much may be kept word for word beside what is always there: that share of the window if there is room for
        it, None for a share that leaves room for some turns."""
        aim = int(self.tokens * (_AIM if share is None else _FULL)) - fixed_tokens - self.summary_tokens
        return max(0, min(int(self.tokens * (_KEEP if share is None else share)), aim))

    def divided(self, wrong: float) -> Window:
        """The window in tokens as we guess them, where one of those is so many of the provider's."""
        return Window(max(1, int(self.tokens / wrong)), self.is_known)

    def at_most(self, estimated_tokens: int) -> Window:
        """The window if it does not hold what we guess to be so much."""
        return Window(max(1, min(self.tokens, estimated_tokens)), self.is_known)


def off_by(estimated_tokens: int, counted_tokens: int) -> float:
    """How many tokens of the provider one of our guess is. Never less than one, to be careful; never more than a token
    for each byte: what is beyond that is nothing that we could make shorter."""
    return max(1.0, min(_MOST_OFF, counted_tokens / max(1, estimated_tokens)))
