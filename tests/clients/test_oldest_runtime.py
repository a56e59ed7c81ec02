"""The client loads on the oldest gRPC and protobuf that it declares, and on the newest without a warning."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OLDEST = ROOT / ".venv-gen/bin/python"
"""Made by `make`: exactly the lower bounds of the client in pyproject.toml."""

PROGRAM = """
import asyncio, importlib, pkgutil, sys
sys.path.insert(0, "client")
import google.protobuf, grpc
import sendoff, sendoff.v1

loaded = [m.name for m in pkgutil.iter_modules(sendoff.v1.__path__) if importlib.import_module(f"sendoff.v1.{m.name}")]

with sendoff.Client("127.0.0.1:1", retry=sendoff.RetryPolicy(max_attempts=1)) as client:
    try:
        client.send("agent-1", "Hello")
    except sendoff.Unavailable:
        pass

async def try_asyncio():
    async with sendoff.AsyncClient("127.0.0.1:1", retry=sendoff.RetryPolicy(max_attempts=1)) as client:
        try:
            async for _ in client.watch("run-1"):
                pass
        except sendoff.Unavailable:
            pass

asyncio.run(try_asyncio())
run = sendoff.v1.Run.FromString(sendoff.v1.Run(id="run-1", labels={"a": "b"}).SerializeToString())
assert run.labels["a"] == "b"
print(grpc.__version__, google.protobuf.__version__, *(name for name in loaded if name.endswith("_service_pb2_grpc")))
"""

SERVICES = [
    "action_service_pb2_grpc",
    "agent_service_pb2_grpc",
    "block_service_pb2_grpc",
    "callback_service_pb2_grpc",
    "conversation_service_pb2_grpc",
    "file_service_pb2_grpc",
    "model_service_pb2_grpc",
    "ops_service_pb2_grpc",
    "run_service_pb2_grpc",
    "step_service_pb2_grpc",
    "tool_service_pb2_grpc",
]


async def load_with(python: Path | str, *flags: str) -> list[str]:
    """Load the client in an interpreter, make calls that find nobody, and return versions and services."""
    process = await asyncio.create_subprocess_exec(
        *(str(python), "-I", *flags, "-c", PROGRAM),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert "Warning" not in err.decode()
    return out.decode().split()


async def test_the_client_works_on_the_oldest_runtimes_that_it_declares() -> None:
    if not OLDEST.exists():
        pytest.fail(f"{OLDEST.relative_to(ROOT)} is missing: `make test` makes it")

    grpc_version, protobuf_version, *services = await load_with(OLDEST, "-W", "error")

    declared = (ROOT / "pyproject.toml").read_text()
    assert f'"grpcio>={grpc_version}"' in declared
    assert f'"protobuf>={protobuf_version}"' in declared
    assert services == SERVICES


async def test_the_client_works_on_the_newest_runtimes_without_a_warning() -> None:
    _, _, *services = await load_with(sys.executable, "-W", "error")

    assert services == SERVICES
