"""The tracer by OpenTelemetry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import structlog
from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from sendoff import v1
from sendoff_server.clock import nanoseconds
from sendoff_server.tracer import Headers, Outcome, Tracer
from sendoff_server.tracing import names
from sendoff_server.tracing.contexts import Ids, below, extracted, run_span_id, span_of, step_span_id, told

Attributes = Mapping[str, AttributeValue]

_FAULTS_OF_OURS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""The gRPC statuses by which a server has failed; any other is its caller's matter."""


def provider_of(resource: Mapping[str, str]) -> tuple[TracerProvider, Ids]:
    """A provider for a tracer, which has no processor yet, with its ids. It is nobody's global one."""
    ids = Ids()
    provider = TracerProvider(resource=Resource.create(dict(resource)), id_generator=ids, shutdown_on_exit=False)
    return provider, ids


class OtelTracer(Tracer):
    """Hands spans to a provider, whose ids are `Ids`."""

    def __init__(self, provider: TracerProvider, ids: Ids, *, tells_content: bool) -> None:
        self._spans = provider.get_tracer("sendoff_server")
        self._ids = ids
        self.tells_content = tells_content
        """Whether spans tell what was said, and what tools were given and gave."""

    @property
    def is_on(self) -> bool:
        return True

    # ---- calls that are served ----

    @contextmanager
    def call(self, method: str, headers: Headers) -> Iterator[Outcome]:
        attributes = {names.RPC_SYSTEM_NAME: "grpc", names.RPC_METHOD: method}
        with self._served(method, attributes, headers) as span:

            def outcome(status: str) -> None:
                span.set_attribute(names.RPC_STATUS_CODE, status)
                if status != "OK":
                    span.set_attribute(names.ERROR_TYPE, status)
                if status in _FAULTS_OF_OURS:
                    span.set_status(StatusCode.ERROR)

            yield outcome

    @contextmanager
    def request(self, method: str, route: str, headers: Headers) -> Iterator[Outcome]:
        attributes = {names.HTTP_METHOD: method, names.HTTP_ROUTE: route}
        with self._served(f"{method} {route}", attributes, headers) as span:

            def outcome(status: str) -> None:
                span.set_attribute(names.HTTP_STATUS_CODE, int(status))
                if int(status) >= 500:
                    fail(span, status)

            yield outcome

    @contextmanager
    def _served(self, name: str, attributes: Attributes, headers: Headers) -> Iterator[Span]:
        """Whatever is raised inside the block says nothing of how the caller was answered."""
        span = self._spans.start_span(name, extracted(headers), SpanKind.SERVER, attributes)
        try:
            with _current(set_span_in_context(span)):
                yield span
        finally:
            span.end()

    # ---- runs ----

    @contextmanager
    def accepting(self, run: v1.Run) -> Iterator[None]:
        attributes = {
            names.MESSAGING_SYSTEM: "sendoff",
            names.MESSAGING_OPERATION_NAME: "send",
            names.MESSAGING_OPERATION_TYPE: "send",
            names.MESSAGING_DESTINATION_NAME: "runs",
            names.MESSAGING_MESSAGE_ID: run.id,
            **_subject(run),
        }
        with self.span(names.ACCEPT_SPAN, SpanKind.PRODUCER, attributes) as span:
            run.trace.CopyFrom(told(span.get_span_context()))
            yield

    def executing(self, run: v1.Run) -> AbstractContextManager[None]:
        return self._inside(run, run_span_id(run.id))

    def stepping(self, run: v1.Run, step_id: str) -> AbstractContextManager[None]:
        return self._inside(run, step_span_id(step_id))

    @contextmanager
    def _inside(self, run: v1.Run, span_id: int) -> Iterator[None]:
        with _current(below(span_of(run.trace, span_id))):
            yield

    def step_ended(self, run: v1.Run, step: v1.Step) -> None:
        parent = span_of(run.trace, run_span_id(run.id))
        if parent is None:
            return
        attributes: dict[str, AttributeValue] = {
            **_subject(run),
            names.STEP_ID: step.id,
            names.STEP_INDEX: step.index,
            names.RUN_ATTEMPT: step.attempt,
        }
        self._ids.give(step_span_id(step.id))
        span = self._spans.start_span(
            names.STEP_SPAN, below(parent), attributes=attributes, start_time=nanoseconds(step.start_time)
        )
        if step.HasField("error"):
            fail(span, step.error.reason)
        span.end(nanoseconds(step.end_time))

    def run_ended(self, run: v1.Run, continued: v1.Run | None, recoveries: Iterable[int]) -> None:
        parent = span_of(run.trace)
        if parent is None:
            return
        before = continued and span_of(continued.trace, run_span_id(continued.id))
        self._ids.give(run_span_id(run.id))
        span = self._spans.start_span(
            names.UPKEEP_SPANS.get(v1.RunKind.Name(run.kind), names.RUN_SPAN),
            below(parent),
            attributes=_of_run(run),
            links=[Link(parent), *([Link(before)] if before else ())],
            start_time=nanoseconds(run.start_time),
        )
        for attempt, recovered_ns in enumerate(recoveries, 2):
            span.add_event(names.RECOVERED_EVENT, {names.RUN_ATTEMPT: attempt}, recovered_ns)
        if run.HasField("error"):
            fail(span, run.error.reason)
        span.end(nanoseconds(run.complete_time))

    # ---- callbacks ----

    @contextmanager
    def delivering(self, run: v1.Run, delivery_id: str, attempt: int) -> Iterator[None]:
        with self.executing(run):
            attributes = {**_subject(run), names.DELIVERY_ID: delivery_id, names.DELIVERY_ATTEMPT: attempt}
            with self.below_current(names.DELIVERY_SPAN, SpanKind.INTERNAL, attributes):
                yield

    # ---- what spans are made of ----

    @contextmanager
    def span(self, name: str, kind: SpanKind, attributes: Attributes, where: Context | None = None) -> Iterator[Span]:
        """A span that is the current one inside the block. `where`: below the current one, if there is any."""
        span = self._spans.start_span(name, where, kind, attributes)
        try:
            with _current(set_span_in_context(span)):
                yield span
        except BaseException as error:
            fail(span, type(error).__name__)
            raise
        finally:
            span.end()

    def started_below_current(self, name: str, kind: SpanKind, attributes: Attributes) -> Span:
        """A span that is ended by its owner; one that is not kept, if there is no current one."""
        if not get_current_span().get_span_context().is_valid:
            return INVALID_SPAN
        return self._spans.start_span(name, None, kind, attributes)

    @contextmanager
    def below_current(self, name: str, kind: SpanKind, attributes: Attributes) -> Iterator[Span]:
        """The same, but where there is no current one, nothing is kept: what belongs to no trace begins none."""
        current = get_current_span()
        if not current.get_span_context().is_valid:
            yield current
            return
        with self.span(name, kind, attributes) as span:
            yield span


@contextmanager
def _current(where: Context) -> Iterator[None]:
    """Spans go there inside the block, and lines of the log name it."""
    token = attach(where)
    span = get_current_span().get_span_context()
    try:
        if span.is_valid:
            with structlog.contextvars.bound_contextvars(
                trace_id=f"{span.trace_id:032x}", span_id=f"{span.span_id:016x}"
            ):
                yield
        else:
            yield
    finally:
        detach(token)


def fail(span: Span, reason: str) -> None:
    """Without a message: that may hold what somebody said."""
    span.set_attribute(names.ERROR_TYPE, reason)
    span.set_status(Status(StatusCode.ERROR))


def _subject(run: v1.Run) -> dict[str, AttributeValue]:
    return {
        names.RUN_ID: run.id,
        names.AGENT_ID: run.agent_id,
        names.CONVERSATION_ID: run.conversation_id or run.agent_id,
    }


def _of_run(run: v1.Run) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        **_subject(run),
        names.RUN_STATUS: v1.RunStatus.Name(run.status).removeprefix("RUN_STATUS_").lower(),
        names.RUN_STOP_REASON: v1.StopReason.Name(run.stop_reason).removeprefix("STOP_REASON_").lower(),
        names.RUN_ATTEMPT: run.attempt,
        names.TURN_ID: run.turn_id,
    }
    if run.kind == v1.RUN_KIND_UNSPECIFIED:
        attributes[names.OPERATION_NAME] = "invoke_agent"
    return attributes | usage(run.usage)


def usage(used: v1.Usage) -> dict[str, AttributeValue]:
    """As attributes; what is not known is left out."""
    return {_USAGE[field.name]: value for field, value in used.ListFields() if field.name in _USAGE}


_USAGE = {
    "prompt_tokens": names.USAGE_INPUT_TOKENS,
    "completion_tokens": names.USAGE_OUTPUT_TOKENS,
    "cached_input_tokens": names.USAGE_CACHE_READ_TOKENS,
    "cache_write_tokens": names.USAGE_CACHE_CREATION_TOKENS,
    "reasoning_tokens": names.USAGE_REASONING_TOKENS,
}
