"""Where a server is looked at: metrics and health at an address of their own."""

from __future__ import annotations

import socket

import httpx
import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from sendoff import AsyncClient, NotFound, v1
from sendoff_server.gateway.metrics_door import MetricsAddressUnavailable
from sendoff_server.settings import Settings
from sendoff_server.sight import lines
from tests.faults.caller import calling, patiently, script
from tests.faults.gated import at, hold_calls
from tests.fixtures.server import Serve
from tests.service.scraping import scraped


async def test_calls_at_both_doors_are_counted_by_what_became_of_them(serve: Serve) -> None:
    async with serve(metrics_address="127.0.0.1:0", http_address="127.0.0.1:0") as server:
        async with AsyncClient(server.grpc.address) as client:
            agent = await client.create_agent(name="counted")
            await client.get_agent(agent.id)
            with pytest.raises(NotFound):
                await client.get_agent("agent-00000000-0000-4000-8000-000000000000")
        assert server.http is not None
        async with httpx.AsyncClient(base_url=f"http://{server.http.address}") as http:
            await http.get(f"/v1/agents/{agent.id}")
            await http.get("/v1/agents/agent-00000000-0000-4000-8000-000000000000")
            await http.get("/nowhere")
        told = await scraped(server)
    call = {"door": "grpc", "call": "AgentService/GetAgent"}
    assert told("sendoff_calls_started_total", **call) == 2
    assert told("sendoff_calls_total", **call, code="OK") == 1
    assert told("sendoff_calls_total", **call, code="NOT_FOUND") == 1
    assert told("sendoff_call_seconds_count", **call) == 2
    assert told("sendoff_refusals_total", door="grpc", reason="AGENT_NOT_FOUND") == 1
    call = {"door": "rest", "call": "GET /v1/agents/{agent_id}"}
    assert told("sendoff_calls_total", **call, code="200") == 1
    assert told("sendoff_calls_total", **call, code="404") == 1
    assert told("sendoff_refusals_total", door="rest", reason="AGENT_NOT_FOUND") == 1
    assert told("sendoff_calls_total", door="rest", call="unrouted", code="404") == 1
    assert told("sendoff_store_commit_seconds_count") >= 0
    assert told("process_resident_memory_bytes") > 1_000_000


async def test_without_an_address_nothing_is_counted_and_nothing_listens(serve: Serve) -> None:
    async with serve() as server:
        assert server.metrics is None


async def test_health_is_told_beside_the_metrics(serve: Serve) -> None:
    async with serve(metrics_address="127.0.0.1:0") as server, httpx.AsyncClient() as http:
        assert server.metrics is not None
        base = f"http://{server.metrics.address}"
        assert (await http.get(f"{base}/livez")).status_code == 200
        assert (await http.get(f"{base}/readyz")).status_code == 200
        await server.grpc.announce_drain()
        assert (await http.get(f"{base}/livez")).status_code == 200
        assert (await http.get(f"{base}/readyz")).status_code == 503
        assert (await http.get(f"{base}/other")).status_code == 404


async def test_a_port_that_is_taken_is_said_with_what_to_set(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refusal = pytest.RaisesExc(MetricsAddressUnavailable, match="SENDOFF_METRICS_ADDRESS")
        with pytest.RaisesGroup(refusal, allow_unwrapped=True, flatten_subgroups=True):
            await serve(metrics_address=address).__aenter__()


@pytest.mark.parametrize("address", ["9464", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:-1", "none"])
def test_an_address_that_is_none_is_refused(settings: Settings, address: str) -> None:
    with pytest.raises(ValidationError, match="expected host:port"):
        Settings(metrics_address=address)


def test_each_of_several_processes_has_a_port_of_its_own(settings: Settings) -> None:
    shared = settings.model_copy(update={"metrics_address": "[::1]:9464"})
    assert [shared.metrics_address_of(process) for process in (1, 2, 3)] == ["[::1]:9464", "[::1]:9465", "[::1]:9466"]
    assert settings.metrics_address_of(2) == "off"


async def test_what_waits_for_a_slot_is_told_while_it_waits_and_counted_when_it_gets_one(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = hold_calls(monkeypatch, at(1, "hold"))
    async with serve(metrics_address="127.0.0.1:0", max_running=1) as server, calling(server.grpc.address) as caller:
        head = await caller.send(await caller.agent(), script(text="hold"))
        await patiently(gate.held.get())
        waiting = [await caller.send(await caller.agent(), script(text="later")) for _ in range(2)]
        told = await scraped(server)
        assert told("sendoff_queue_runs", tenant="other", state="queued") == 2
        assert told("sendoff_queue_runs", tenant="other", state="running") == 1
        assert told("sendoff_queue_oldest_seconds", tenant="other") > 0
        assert (told("sendoff_runs_under_way"), told("sendoff_slots")) == (1, 1)
        assert told("sendoff_claims_total") == 0
        gate.release()
        for run in (head, *waiting):
            await caller.ended(run.id)
        told = await scraped(server)
    assert told("sendoff_claims_total") == len(waiting)
    assert told("sendoff_run_wait_seconds_count", tenant="other") == 3


async def test_who_looks_on_is_not_in_the_way_of_what_follows(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(item: object, result: object) -> None:
        raise ValueError("it breaks")

    monkeypatch.setattr(lines, "write", breaks)
    with capture_logs() as logged:
        async with serve() as server, calling(server.grpc.address) as caller:
            run = await caller.send(await caller.agent(), script(text="fine"))
            assert (await caller.ended(run.id)).status == v1.RUN_STATUS_COMPLETED
    assert "what was written can not be told" in {each["event"] for each in logged}
