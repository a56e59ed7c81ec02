"""Signatures of reasoning, sealed with the name of the system that made them.

A provider's opaque signature is worth something only to that provider, and sending it to another one is an error there.
So what we keep as the signature of a part is `system:part id:signature`. It is as opaque to everybody else as the
signature itself.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

OF_A_CALL = "extra_content"
"""The part id of what belongs to a tool call, not to reasoning that can be shown: see `seal_of_call`."""


class Sealed(NamedTuple):
    """What a provider wants back with a piece of reasoning."""

    part_id: str
    """The provider's id of the reasoning; empty for none."""
    signature: str
    """The provider's own signature; may be empty if there is an id."""


def seal(system: str, part_id: str, signature: str) -> str:
    """The signature to keep."""
    return f"{system}:{part_id}:{signature}"


def seal_of_call(system: str, call_id: str, extra: Any) -> str:
    """What to keep for a tool call that its maker wants back with something beside it, as Gemini does with the
    signature of the thought behind the call. `extra` is JSON."""
    return seal(system, OF_A_CALL, json.dumps([call_id, extra]))


def opened_of_call(sealed: Sealed) -> tuple[str, Any] | None:
    """The id of the call and what goes with it. None for a forgery: whoever imports a history can write a seal."""
    try:
        told = json.loads(sealed.signature)
    except ValueError:
        return None
    return (told[0], told[1]) if isinstance(told, list) and len(told) == 2 and isinstance(told[0], str) else None


def opened(kept: str, system: str) -> Sealed | None:
    """What `seal` was given, if `system` made it. None for another system's, and for a signature of unknown origin."""
    maker, _, rest = kept.partition(":")
    part_id, colon, signature = rest.partition(":")
    return Sealed(part_id, signature) if colon and maker == system else None
