"""Limits that are looked at between steps."""

from __future__ import annotations

import pytest

from sendoff import v1
from sendoff_server.body import Done
from sendoff_server.loop.limits import DEFAULT_MAX_STEPS, max_steps, reached


def request(**fields: object) -> v1.CreateMessageAsyncRequest:
    return v1.CreateMessageAsyncRequest(**fields)  # type: ignore[arg-type]  # whichever are set


@pytest.mark.parametrize(
    ("asked", "most"),
    [
        (request(), DEFAULT_MAX_STEPS),
        (request(max_steps=3), 3),
        (request(limits=v1.Limits(max_steps=4)), 4),
        (request(max_steps=3, limits=v1.Limits(max_steps=4)), 3),
        (request(max_steps=500), 500),
    ],
)
def test_the_smaller_number_of_steps_counts(asked: v1.CreateMessageAsyncRequest, most: int) -> None:
    assert max_steps(asked) == most
    assert reached(asked, Done(steps=most - 1)) is None
    end = reached(asked, Done(steps=most))
    assert end is not None
    assert end.reason == v1.STOP_REASON_MAX_STEPS


LIMITS = {"max_total_tokens": v1.Limits(max_total_tokens=10), "max_cost_microusd": v1.Limits(max_cost_microusd=10)}


@pytest.mark.parametrize("name", LIMITS)
def test_what_is_spent_is_spent(name: str) -> None:
    asked = request(limits=LIMITS[name])
    assert reached(asked, Done()) is None, "unknown"
    assert reached(asked, Done(usage=v1.Usage(total_tokens=9, cost_microusd=9))) is None
    end = reached(asked, Done(usage=v1.Usage(total_tokens=10, cost_microusd=10)))
    assert end is not None
    assert end.reason == v1.STOP_REASON_BUDGET_EXCEEDED
    assert end.error is not None
    assert dict(end.error.metadata) == {name: "10", "used": "10"}
