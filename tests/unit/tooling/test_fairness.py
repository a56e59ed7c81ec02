"""Weights of fairness keys, as operators write them."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest
from pydantic import ValidationError

from sendoff_server.fairness import share_of, share_weights, weights_of
from sendoff_server.settings import Settings
from sendoff_server.store.batch.shares import Wheel


def test_weights_are_read_by_key() -> None:
    assert weights_of("acme=3, batch=0.5,a=b=1000") == {"acme": 3.0, "batch": 0.5, "a=b": 1000.0}
    assert weights_of("") == {}


@pytest.mark.parametrize(
    "told", ["acme", "=3", "acme=", "acme=x", "acme=-1", "acme=0", "acme=1001", "acme=1,acme=2", f"{'k' * 65}=1"]
)
def test_what_is_no_weight_is_refused_at_the_start(told: str) -> None:
    with pytest.raises(ValidationError, match=r"fairness_weights"):
        Settings(fairness_weights=told)


def test_keys_of_two_tenants_are_two_shares() -> None:
    assert len({share_of("a", ""), share_of("b", ""), share_of("a", "k"), share_of("b", "k")}) == 4


def test_weights_count_for_the_keys_of_every_tenant() -> None:
    wheel = Wheel(partial(share_weights, {"heavy": 3.0, "light": 0.5}))
    shares = sorted((tenant, share_of(tenant, key)) for tenant in ("acme", "other") for key in ("heavy", "light", ""))
    waiting = [[share] * 20 for share in shares]
    taken = Counter(wheel.serve(shares, waiting, 18, lambda _: True))
    for tenant in ("acme", "other"):
        told = [taken[tenant, share_of(tenant, key)] for key in ("heavy", "", "light")]
        assert told == [6, 2, 1]
    assert wheel.enough(1) == 3, "each tenant has a light one that may be passed over"
