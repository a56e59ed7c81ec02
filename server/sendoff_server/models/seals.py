"""Signatures of reasoning, sealed with the name of the system that made them.

A provider's opaque signature is worth something only to that provider, and sending it to another one is an error there.
So what we keep as the signature of a part is `system:part id:signature`. It is as opaque to everybody else as the
signature itself.
"""

from __future__ import annotations

from typing import NamedTuple


class Sealed(NamedTuple):
    """What a provider wants back with a piece of reasoning."""

    part_id: str
    """The provider's id of the reasoning; empty for none."""
    signature: str
    """The provider's own signature; may be empty if there is an id."""


def seal(system: str, part_id: str, signature: str) -> str:
    """The signature to keep."""
    return f"{system}:{part_id}:{signature}"


def opened(kept: str, system: str) -> Sealed | None:
    """What `seal` was given, if `system` made it. None for another system's, and for a signature of unknown origin."""
    maker, _, rest = kept.partition(":")
    part_id, colon, signature = rest.partition(":")
    return Sealed(part_id, signature) if colon and maker == system else None
