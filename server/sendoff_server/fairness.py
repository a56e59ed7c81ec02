"""Whom runs share slots as, and how much each of these weighs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

MAX_KEY_BYTES = 64
_LEAST, _MOST = 0.001, 1_000.0
_WEIGHT = re.compile(r"[0-9]+(\.[0-9]+)?")


def share_of(tenant: str, fairness_key: str) -> int:
    """That key of the tenant or, without one, the tenant."""
    digest = hashlib.blake2b(f"{tenant}\0{fairness_key}".encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8]) >> 1


def share_weights(weights: Mapping[str, float], tenant: str) -> dict[int, float]:
    """What the shares of a tenant weigh, whose keys have these weights."""
    return {share_of(tenant, key): weight for key, weight in weights.items()}


def weights_of(told: str) -> dict[str, float]:
    """By key, from "acme=3,batch=0.5". Raises ValueError."""
    weights: dict[str, float] = {}
    for part in filter(None, map(str.strip, told.split(","))):
        key, _, weight = part.rpartition("=")
        if not 1 <= len(key.encode()) <= MAX_KEY_BYTES or not _WEIGHT.fullmatch(weight) or key in weights:
            raise ValueError(f"expected KEY=WEIGHT, each key once, for example acme=3,batch=0.5, and found {part!r}")
        if not _LEAST <= float(weight) <= _MOST:
            raise ValueError(f"a weight is {_LEAST:g} to {_MOST:g}, and {part!r} has another one")
        weights[key] = float(weight)
    return weights
