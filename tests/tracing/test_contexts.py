"""What callers send of their traces, and what runs keep of it."""

from __future__ import annotations

import pytest
from opentelemetry.trace import get_current_span

from sendoff import v1
from sendoff_server.tracing import contexts
from tests.tracing.kept import CALLER, CALLER_SPAN, CALLER_TRACE

PARENT = ("traceparent", CALLER)


def _found(*headers: tuple[str, str | bytes]) -> str:
    """The trace that they name; empty for none."""
    span = get_current_span(contexts.extracted(headers)).get_span_context()
    return f"{span.trace_id:032x}" if span.is_valid else ""


def test_a_caller_s_trace_is_found() -> None:
    assert _found(("x", "y"), PARENT, ("tracestate", "a=b")) == CALLER_TRACE


@pytest.mark.parametrize("headers", [[PARENT, PARENT], [("traceparent", b"\xff")], [("tracestate", "a=b")], []])
def test_what_is_sent_twice_or_is_no_text_names_none(headers: list[tuple[str, str | bytes]]) -> None:
    assert _found(*headers) == ""


def test_a_span_is_kept_as_it_was_sent() -> None:
    span = get_current_span(contexts.extracted([PARENT, ("tracestate", "a=b,c=d")])).get_span_context()
    kept = contexts.told(span)
    assert (kept.trace_id, kept.span_id, kept.flags, kept.state) == (CALLER_TRACE, CALLER_SPAN, 1, "a=b,c=d")
    again = contexts.span_of(kept)
    assert again is not None
    assert contexts.told(again) == kept


def test_runs_that_carry_no_trace_stand_nowhere() -> None:
    assert contexts.span_of(v1.TraceContext()) is None


def test_the_span_of_a_run_and_of_a_step_is_the_same_in_every_process_and_no_other_s() -> None:
    assert contexts.run_span_id("run-1") == contexts.run_span_id("run-1")
    ids = {make(name) for make in (contexts.run_span_id, contexts.step_span_id) for name in ("run-1", "run-2")}
    assert len(ids) == 4
    assert all(0 < span_id < 1 << 64 for span_id in ids)
