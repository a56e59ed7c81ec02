"""Adding up what steps used. Unset means unknown, and unknown plus something known is what is known."""

from __future__ import annotations

from typing import Literal, get_args

from sendoff import v1

_Summed = Literal[
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_microusd",
]
_SUMMED: tuple[_Summed, ...] = get_args(_Summed)


def add_usage(total: v1.Usage, step: v1.Usage) -> None:
    """Add one step's usage to a run's; `context_tokens` becomes the step's total, because that is how full the window
    is now."""
    add_tokens(total, step)
    total.step_count += max(1, step.step_count)
    if step.HasField("total_tokens"):
        total.context_tokens = step.total_tokens


def add_tokens(total: v1.Usage, used: v1.Usage) -> None:
    """Add what a model call used that is no step: tokens and cost."""
    for name in _SUMMED:
        if used.HasField(name):
            setattr(total, name, getattr(total, name) + getattr(used, name))
