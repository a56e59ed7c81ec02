"""Callers of yesterday with the server of today: what they asked then is taken, and what comes back they understand."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import grpc.aio
import pytest

from sendoff_server.app import Server
from tests.evolution.exchanges import Exchange
from tests.evolution.recordings import names, recording
from tests.evolution.repeating import Repeating
from tests.evolution.today import TODAY
from tests.fixtures.server import Serve

ROOT = Path(__file__).parents[2]
GENERATOR = ROOT / ".venv-gen/bin/python"
"""Made by `make`: the oldest runtimes that callers may have, and the generator of their stubs."""
OLD_CALLER = Path(__file__).with_name("old_caller.py")


async def asked_today(name: str, serve: Serve) -> tuple[list[Exchange], list[str]]:
    """What comes of asking all that was asked then, and where it differs from what was answered then."""
    async with serve() as server, grpc.aio.insecure_channel(server.grpc.address) as channel:
        repeating = Repeating(channel, recording(name))
        return [await repeating.repeat(then) for then in recording(name).exchanges], repeating.differences


@pytest.mark.parametrize("name", names())
async def test_what_was_asked_then_is_answered_today_as_it_was_then(name: str, serve: Serve) -> None:
    answered, differences = await asked_today(name, serve)

    assert not differences, "\n".join(differences)
    passed_on = [passes_on(name, made.method, raw) for made in answered for raw in made.responses]
    assert all(whole for whole, _ in passed_on), "an old caller loses what it does not know"
    if name == names()[0]:
        assert any(has_more for _, has_more in passed_on), "nothing is new since the oldest contract"


def passes_on(name: str, method: str, raw: bytes) -> tuple[bool, bool]:
    """Whether a caller with old stubs can hand on an answer whole, and whether it says more than those know."""
    old = recording(name).contract.parse_response(method, raw)
    whole = TODAY.parse_response(method, old.SerializeToString()) == TODAY.parse_response(method, raw)
    old.DiscardUnknownFields()
    return whole, old.ByteSize() < len(raw)


async def run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.fixture(scope="module")
async def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of what the generator makes of the oldest contract."""
    if not GENERATOR.exists():
        pytest.fail(f"{GENERATOR.relative_to(ROOT)} is missing: `make test` makes it")
    folder, contract = tmp_path_factory.mktemp("stubs"), recording(names()[0]).contract
    (folder / "contract.binpb").write_bytes(contract.files.SerializeToString())
    files = [file.name for file in contract.files.file if file.package == "sendoff.v1"]
    outputs = [f"--{kind}_out={folder}" for kind in ("python", "grpc_python")]
    source = f"--descriptor_set_in={folder / 'contract.binpb'}"
    await run(str(GENERATOR), "-m", "grpc_tools.protoc", source, *outputs, *files)
    return folder


@pytest.mark.parametrize("python", [str(GENERATOR), sys.executable], ids=["oldest", "newest"])
async def test_stubs_that_were_generated_from_the_oldest_contract_tell_the_story(
    python: str, stubs: Path, server: Server
) -> None:
    """In an interpreter of their own, on the oldest runtimes and the newest, with nothing of ours but those stubs."""
    told = await run(python, "-I", "-W", "error", str(OLD_CALLER), str(stubs), server.grpc.address)

    assert told.splitlines() == [
        "replayed: true",
        "events: state_changed state_changed message step_started message step_finished finished",
        "text: You said: Why do ships have bells?",
        "ended: RUN_STATUS_COMPLETED",
        "cancelled: RUN_STATUS_CANCELLED",
        "refused: NOT_FOUND",
    ]
