"""Weights of fairness keys, as operators write them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sendoff_server.fairness import share_of, weights_of
from sendoff_server.settings import Settings


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
