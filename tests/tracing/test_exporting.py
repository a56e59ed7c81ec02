"""Where spans go, and that it does no harm if they cannot."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service

from sendoff_server.tracing import exporting
from sendoff_server.tracing.exporting import BadTracing, is_wanted, tracer_of
from tests.fixtures.receiver import Receiver
from tests.tracing.collector import collecting

OTLP = {"OTEL_TRACES_EXPORTER": "otlp"}
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"}


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "mine"}, False),
        (OTLP, True),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({**ENDPOINT, **OTLP, "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_traces_are_kept_if_the_usual_variables_say_so(environment: Mapping[str, str], wanted: bool) -> None:
    assert is_wanted(environment) is wanted


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER"),
        ({**OTLP, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
    ],
)
async def test_what_cannot_be_done_is_refused_by_name(environment: Mapping[str, str], name: str) -> None:
    with pytest.raises(BadTracing, match=name):
        async with tracer_of(environment, tells_content=False):
            pass


async def test_traces_that_are_wanted_without_the_library_are_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc.trace_exporter", None)
    with pytest.raises(BadTracing, match=r"sendoff\[otel\]"):
        async with tracer_of(OTLP, tells_content=False):
            pass


def test_a_server_without_traces_loads_nothing_of_them() -> None:
    program = "import sys, sendoff_server.app; print([m for m in sys.modules if m.startswith('opentelemetry.sdk')])"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


@asynccontextmanager
async def _silent() -> AsyncIterator[str]:
    """The address of somebody who takes connections, and answers nothing."""
    taken: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: taken.append(writer), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for writer in taken:
            writer.close()


def _set(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
async def test_a_collector_that_does_not_answer_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setattr(exporting, "FLUSH_S", 0.05)
    async with _silent() as url:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
        _set(monkeypatch, {**environment, "OTEL_EXPORTER_OTLP_TIMEOUT": "1"})
        async with asyncio.timeout(10), tracer_of(environment, tells_content=False) as tracer:
            for _ in range(1_000):
                with tracer.call("Some/Call", ()) as outcome:
                    outcome("OK")


async def test_what_is_left_is_sent_when_the_server_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    async with collecting() as collector:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.address}"}
        _set(monkeypatch, {**environment, "OTEL_BSP_SCHEDULE_DELAY": "600000"})
        async with tracer_of(environment, tells_content=False) as tracer:
            with tracer.call("Some/Call", ()) as outcome:
                outcome("OK")
        assert [(span.name, span.service) for span in collector.spans] == [("Some/Call", "sendoff-server")]


async def test_spans_are_sent_over_http_where_that_is_set(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url(""),
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-key=abc",
        "OTEL_RESOURCE_ATTRIBUTES": "service.name=mine,deployment.environment.name=test",
    }
    _set(monkeypatch, environment)
    async with tracer_of(environment, tells_content=False) as tracer:
        with tracer.call("Some/Call", ()) as outcome:
            outcome("OK")
    (sent,) = await receiver.requests(1)
    (group,) = service.ExportTraceServiceRequest.FromString(sent.body).resource_spans
    told = {each.key: each.value.string_value for each in group.resource.attributes}
    assert sent.line.split()[1] == "/v1/traces"
    assert sent.headers["x-key"] == "abc"
    assert (told["service.name"], told["deployment.environment.name"]) == ("mine", "test")
    assert {"service.version", "service.instance.id"} <= set(told)
