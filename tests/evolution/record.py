"""Records what older servers answered: `python -m tests.evolution.record [NAME ...]`, in a checkout with its history.

Each server of `OLDER` is taken out of the history, started with the packages that are installed now, and told the
story. `recorded/NAME/` gets its contract and what went over the wire; `recorded/contents.json` says what is what.
Nothing of a recording depends on the program of today, so it is made again only to change the story.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tests.evolution.contracts import Contract
from tests.evolution.exchanges import Exchange, save
from tests.evolution.recordings import CONTENTS, CONTRACT, EXCHANGES, RECORDED
from tests.evolution.story import tell
from tests.evolution.storyteller import Storyteller

ROOT = Path(__file__).parents[2]
OLDER = {
    "runs": "764d15288285c4a37fc88411ba822a1abb7d8f68",
    "tools": "4afd0df76d9491b5bdd9bfcfeead1f6cff6bbc5b",
    "replicas": "da561b6e6ddc7fcba78a43561139bfbe6b3720cb",
}
"""Commits by the name of what they brought: the contract as first laid down, which is `protos/baseline.binpb`; tools,
approvals and steps; callbacks, pauses and several replicas."""
START_TIMEOUT_S = 60.0


def take_out(commit: str, folder: Path) -> None:
    """The sources of that commit, without anything that git would run."""
    command = ["git", "-C", str(ROOT), "archive", commit, "client", "server", "protos"]
    packed = subprocess.run(command, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")


def contract_of(folder: Path) -> Contract:
    """Without comments and with all that it imports."""
    command = [str(Path(sys.executable).parent / "buf"), "build", str(folder / "protos"), "--exclude-source-info"]
    built = subprocess.run([*command, "-o", "-#format=binpb"], check=True, capture_output=True).stdout
    return Contract(FileDescriptorSet.FromString(built))


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[str]:
    """The address of a server that runs these sources with a database of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SENDOFF_")}
    paths = [str(folder / "client"), str(folder / "server")]
    environment |= {"PYTHONPATH": os.pathsep.join(paths), "SENDOFF_HTTP_ADDRESS": "off"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sendoff_server", "serve", "--log-format", "json", "--grpc-address", "127.0.0.1:0"),
        *("--data-dir", str(folder / "data"), "--scripted-model", "--default-model", "scripted/echo"),
        *("--drain-grace-s", "1"),
        env=environment,
        cwd=folder,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            yield await _address(process)
    finally:
        process.kill()
        await process.communicate()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    lines = []
    async for line in process.stderr:
        lines.append(line.decode())
        told = json.loads(line) if line.startswith(b"{") else {}
        if told.get("event") == "ready":
            return str(told["address"])
    raise SystemExit("the server did not start:\n" + "".join(lines))


async def record(name: str) -> dict[str, object]:
    """Write the recording, and return what the table of contents says of it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        take_out(OLDER[name], folder)
        contract = contract_of(folder)
        async with serving(folder) as address, grpc.aio.insecure_channel(address) as channel:
            story = Storyteller(channel, contract)
            await tell(story)
    target = RECORDED / name
    target.mkdir(parents=True, exist_ok=True)
    contract.write(target / CONTRACT)
    save(target / EXCHANGES, story.exchanges)
    return _about(name, contract, story.exchanges)


def _about(name: str, contract: Contract, exchanges: list[Exchange]) -> dict[str, object]:
    command = ["git", "-C", str(ROOT), "show", "-s", "--format=%cI", OLDER[name]]
    missing = contract.methods.keys() - {made.method for made in exchanges}
    assert not missing, f"the story of {name} leaves out {sorted(missing)}"
    return {
        "commit": OLDER[name],
        "commit_time": subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip(),
        "contract_sha256": contract.digest,
        "methods": len(contract.methods),
        "exchanges": len(exchanges),
    }


async def main() -> None:
    parser = argparse.ArgumentParser(description="Record what older servers answer.")
    parser.add_argument("names", nargs="*", choices=[*OLDER, []], help="default: all")
    names: list[str] = parser.parse_args().names or list(OLDER)
    contents = json.loads(CONTENTS.read_text()) if CONTENTS.exists() else {}
    for name in names:
        contents[name] = await record(name)
        print(f"{name}: {contents[name]['exchanges']} calls")
    CONTENTS.write_text(json.dumps({name: contents[name] for name in OLDER if name in contents}, indent=2) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
