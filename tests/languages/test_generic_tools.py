"""Tools that know nothing of Sendoff work with a live server, over TLS and with a key, by what it tells of itself.

They are the commands of examples/tools.md.
"""

from __future__ import annotations

import base64
import json
import re
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.rpc import error_details_pb2

from sendoff import AsyncClient, v1
from sendoff_server.server_info import SERVICE_FILES
from tests.fixtures.server import ServerProcess
from tests.languages.model import story_model
from tests.languages.server import StoryServer, story_server
from tests.languages.toolchain import missing, versions
from tests.languages.tools import BUF, GHZ, GRPCURL, H2LOAD, PROBE, GenericTool, Installs, Said, said

_NO_SUCH_RUN = 5
_SERVES_NOT = 4


@dataclass(frozen=True, slots=True)
class Live:
    """A server with a run that has ended."""

    server: StoryServer
    ours: AsyncClient
    run: v1.Run
    folder: Path

    async def does(self, tool: GenericTool, heading: str, **variables: str) -> Said:
        """What comes of the tool's commands under that heading."""
        known = {**self.server.variables(), "RUN": self.run.id, "AGENT": self.run.agent_id, **variables}
        return await said(tool.block(heading), self.folder, known)


@pytest.fixture(scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    folder = tmp_path_factory.mktemp("tools")
    async with story_model() as model, story_server(folder, model.url) as server:
        trusted = server.ca_file.read_bytes()
        async with AsyncClient(server.address, tls=True, root_certificates=trusted, api_key=server.api_key) as ours:
            agent = await ours.create_agent()
            run = await ours.wait_run((await ours.send(agent.id, "Why do ships have bells?")).id)
            yield Live(server, ours, run, folder)


@pytest.fixture(scope="session")
def installs() -> Installs:
    return Installs()


@pytest.fixture
async def tool(
    request: pytest.FixtureRequest, installs: Installs, record_property: Callable[[str, object], None]
) -> GenericTool:
    """The one that the test is marked with, installed; skipped where it cannot be, which says what to install."""
    chosen: GenericTool = request.param
    record_property("language", chosen.name)
    if absent := missing(chosen.needs):
        pytest.skip(f"{chosen.name} is NOT TESTED, for want of {', '.join(absent)}")
    version = await installs.install(chosen)
    record_property("versions", ", ".join([version, versions(chosen.needs)] if chosen.is_built else [version]))
    return chosen


def by(*chosen: GenericTool) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("tool", chosen, indirect=True, ids=lambda tool: tool.name)


@by(BUF, GRPCURL)
async def test_reflection_tells_every_service_and_rpc(tool: GenericTool, live: Live) -> None:
    listed = await live.does(tool, "List")

    assert listed.code == 0, listed
    words = set(listed.out.replace("/", ".").split())
    services = [service for file in SERVICE_FILES for service in file.services_by_name.values()]
    if tool is GRPCURL:  # it lists services, and then the methods of the one that it is asked for
        assert {service.full_name for service in services} <= words
        services = [service for service in services if service.name == "RunService"]
    assert services
    assert {method.full_name for service in services for method in service.methods} <= words


@by(BUF, GRPCURL)
async def test_reflection_is_for_those_who_have_a_key(tool: GenericTool, live: Live) -> None:
    listed = await live.does(tool, "List", SENDOFF_API_KEY="sk-sendoff-made-up")

    assert listed.code != 0
    assert "sendoff.v1" not in listed.out
    assert "authenticated" in listed.errors.lower()


@by(BUF, GRPCURL)
async def test_a_message_is_accepted(tool: GenericTool, live: Live) -> None:
    accepted = await live.does(tool, "Call")

    assert accepted.code == 0, accepted
    run = await live.ours.wait_run(json.loads(accepted.out)["id"])
    assert run.status == v1.RUN_STATUS_COMPLETED
    assert run.request_id == f"{run.agent_id}-1"


@by(BUF, GRPCURL)
async def test_a_run_is_watched_to_its_end(tool: GenericTool, live: Live) -> None:
    watched = await live.does(tool, "Watch")

    assert watched.code == 0, watched
    events = [frame["event"] for frame in documents(watched.out) if "event" in frame]
    log = await live.server.log_of(live.run.id)
    assert [int(event["sequence"]) for event in events] == [event.sequence for event in log]
    assert "finished" in events[-1]


@by(BUF, GRPCURL)
async def test_an_error_comes_with_its_details(tool: GenericTool, live: Live) -> None:
    refused = await live.does(tool, "Errors")

    assert refused.code == (_NO_SUCH_RUN * 8 if tool is BUF else 64 + _NO_SUCH_RUN), refused
    assert error_reason(refused.errors) == "RUN_NOT_FOUND"


@by(BUF, GRPCURL, PROBE)
async def test_health_is_told(tool: GenericTool, live: Live) -> None:
    told = await live.does(tool, "Health")

    assert told.code == 0, told
    assert "SERVING" in f"{told.out}{told.errors}"
    assert "NOT_SERVING" not in f"{told.out}{told.errors}"


@by(PROBE)
async def test_liveness_is_told(tool: GenericTool, live: Live) -> None:
    told = await live.does(tool, "Liveness")

    assert told.code == 0, told


@by(PROBE)
async def test_a_server_that_drains_is_alive_and_does_not_serve(
    tool: GenericTool, server_process: ServerProcess, tmp_path: Path
) -> None:
    await server_process.start("--drain-notice-s", "120")
    probe = f"{tool.name} -addr {server_process.address}"
    assert (await said(probe, tmp_path, {})).code == 0

    server_process.signal(signal.SIGTERM)
    await server_process.logged("stopping soon")

    assert (await said(probe, tmp_path, {})).code == _SERVES_NOT
    assert (await said(f"{probe} -service liveness", tmp_path, {})).code == 0


@by(GHZ)
@pytest.mark.parametrize(("heading", "calls"), [("Load", 200), ("Accept", 50)])
async def test_every_call_under_load_is_answered(tool: GenericTool, heading: str, calls: int, live: Live) -> None:
    agent = await live.ours.create_agent()

    measured = await live.does(tool, heading, AGENT=agent.id)

    assert measured.code == 0, measured
    assert json.loads(measured.out)["statusCodeDistribution"] == {"OK": calls}
    accepted = {run.id async for run in live.ours.runs(agent_id=agent.id)}
    assert len(accepted) == (calls if heading == "Accept" else 0)


@by(H2LOAD)
async def test_every_answer_under_raw_load_is_whole(tool: GenericTool, live: Live) -> None:
    frame_bytes = 5 + len((await live.ours.models()).SerializeToString())

    measured = await live.does(tool, "Load")

    assert measured.code == 0, measured
    assert "200 succeeded, 0 failed, 0 errored, 0 timeout" in measured.out
    (data_bytes,) = re.findall(r"\((\d+)\) data", measured.out)
    assert int(data_bytes) == 200 * frame_bytes, "an error has no body"


def documents(text: str) -> list[dict[str, Any]]:
    """JSON objects that stand one after another."""
    found, rest = [], text.strip()
    while rest:
        document, end = json.JSONDecoder().raw_decode(rest)
        found.append(document)
        rest = rest[end:].lstrip()
    return found


def error_reason(text: str) -> str:
    """Of the ErrorInfo among the details of an error, told as JSON: in words, or as bytes in base64."""
    for detail in json.loads(text)["details"]:
        if str(detail.get("@type")).endswith("google.rpc.ErrorInfo"):
            return str(detail["reason"])
        if detail.get("type") == "google.rpc.ErrorInfo":
            padded = detail["value"] + "=" * (-len(detail["value"]) % 4)
            return error_details_pb2.ErrorInfo.FromString(base64.b64decode(padded)).reason
    raise AssertionError(f"no ErrorInfo: {text}")
