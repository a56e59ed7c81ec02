"""Calls of models, as spans."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from sendoff import v1
from sendoff_server.models.port import Answer, Catalogue, Delta, Model, ModelCall, ModelFailed
from sendoff_server.tracing import content, names
from sendoff_server.tracing.otel import OtelTracer, fail, usage


class TracedCatalogue(Catalogue):
    """The models of another one, each call of theirs a span."""

    def __init__(self, models: Catalogue, tracer: OtelTracer) -> None:
        self._models = models
        self._tracer = tracer

    @property
    def default_handle(self) -> str:
        return self._models.default_handle

    async def find(self, handle: str) -> Model:
        return TracedModel(await self._models.find(handle), self._tracer)

    async def list(self) -> v1.ListModelsResponse:
        return await self._models.list()


class TracedModel(Model):
    """Another one, whose calls are spans below the current one."""

    def __init__(self, model: Model, tracer: OtelTracer) -> None:
        self._model = model
        self._tracer = tracer

    @property
    def info(self) -> v1.Model:
        return self._model.info

    @property
    def wants_image_bytes(self) -> bool:
        return self._model.wants_image_bytes

    async def stream(self, call: ModelCall) -> AsyncGenerator[Delta | Answer]:
        span = self._tracer.started_below_current(f"chat {_name(call.handle)}", SpanKind.CLIENT, _asked(call))
        began_s, is_first = time.monotonic(), True
        try:
            if self._tracer.tells_content:
                span.set_attributes(content.of_question(call))
            async with aclosing(self._model.stream(call)) as stream:
                async for event in stream:
                    if is_first:
                        span.set_attribute(names.RESPONSE_TIME_TO_FIRST_CHUNK, time.monotonic() - began_s)
                        is_first = False
                    if isinstance(event, Answer):
                        self._end_with(span, event)
                    yield event
        except BaseException as error:
            _break_off(span, error)
            raise

    def _end_with(self, span: Span, answer: Answer) -> None:
        """Whoever has the answer lets go of the stream, so this is the end of it."""
        span.set_attributes(_answered(answer))
        if self._tracer.tells_content:
            span.set_attributes(content.of_answer(answer))
        span.end()


def _break_off(span: Span, error: BaseException) -> None:
    """End it, unless it has ended."""
    if span.is_recording():
        fail(span, error.reason if isinstance(error, ModelFailed) else type(error).__name__)
        span.end()


def _name(handle: str) -> str:
    return handle.partition("/")[2] or handle


def _asked(call: ModelCall) -> dict[str, AttributeValue]:
    settings = call.settings
    attributes: dict[str, AttributeValue] = {
        names.OPERATION_NAME: "chat",
        names.PROVIDER_NAME: call.handle.partition("/")[0],
        names.REQUEST_MODEL: _name(call.handle),
        names.REQUEST_STREAM: True,
        names.RUN_ID: call.run_id,
        names.MODEL_ATTEMPT: call.attempt,
    }
    set_ones = {field.name: value for field, value in settings.ListFields()}
    return attributes | {name: set_ones[field] for field, name in _SETTINGS.items() if field in set_ones}


_SETTINGS = {
    "temperature": names.REQUEST_TEMPERATURE,
    "top_p": names.REQUEST_TOP_P,
    "max_output_tokens": names.REQUEST_MAX_TOKENS,
    "frequency_penalty": names.REQUEST_FREQUENCY_PENALTY,
    "seed": names.REQUEST_SEED,
}


def _answered(answer: Answer) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {names.RESPONSE_FINISH_REASONS: (answer.finish.value,)}
    if answer.provider_request_id:
        attributes[names.RESPONSE_ID] = answer.provider_request_id
    return attributes | usage(answer.usage)
