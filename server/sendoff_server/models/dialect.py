"""What a provider understands, as far as the history that it is shown depends on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One provider's way to be spoken to. The defaults are those of chat completions."""

    system: str
    """Whose signatures it knows as its own."""
    signs_reasoning: bool = False
    """Whether it signs its reasoning and wants it back."""
    takes_images: bool = True
    images_in_returns: bool = False
    """Whether what a tool returned may hold images. False: they follow as if the user had sent them."""
    marks_errors: bool = False
    """Whether a tool's return has a mark for errors. False: only its text tells."""
    declares_past_tools: bool = False
    """Whether a history with tool calls is refused unless tools are declared."""
