"""The wheel, installed where nothing else is: the client alone, with its command, and with the server."""

from __future__ import annotations

import asyncio
import filecmp
import json
import sys
import tarfile
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.fixtures.server import ServerProcess
from tests.languages.clean_python import VERSIONS, CleanPython, clean_python, interpreter, newest, outside, told

ROOT = Path(__file__).parents[2]
CLIENT = {"sendoff", "grpcio", "protobuf", "googleapis_common_protos", "typing_extensions"}
"""All that the client is, with what it depends on."""

WHAT_IS_LOADED = """
import sys, time
before = time.perf_counter()
import sendoff
taken_s = time.perf_counter() - before
import json
files = [getattr(module, "__file__", None) or "" for module in sys.modules.values()]
loaded = {file.partition("/site-packages/")[2].partition("/")[0] for file in files if "/site-packages/" in file}
print(json.dumps({"seconds": taken_s, "packages": sorted(loaded)}))
"""

CALL = """
import sys, sendoff
from sendoff import v1
with sendoff.Client(sys.argv[1]) as client:
    run = client.send(client.create_agent(name="bell").id, "Why do ships have bells?")
    for entry in client.watch(run.id):
        pass
    print(v1.RunStatus.Name(client.wait_run(run.id).status))
"""


@pytest.fixture(scope="module")
async def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel and the source distribution, as `make wheel` builds them."""
    return await build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (built,) = dist.glob("*.whl")
    return built


@pytest.fixture(scope="module", params=VERSIONS)
async def client_only(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> CleanPython:
    """The wheel without any extra, on each Python of this machine."""
    python = interpreter(request.param)
    if python is None:
        pytest.skip(f"the wheel is NOT TESTED on Python {request.param}, which is not here")
    environment = await clean_python(python, tmp_path_factory.mktemp("client"))
    await environment.install(str(wheel))
    return environment


@pytest.fixture(scope="module")
async def with_server(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[InstalledServer]:
    """The server of an environment of its own, on the newest Python of this machine; it serves already."""
    environment = await clean_python(newest(), tmp_path_factory.mktemp("server"))
    await environment.install(f"{wheel}[server]")
    server = InstalledServer(tmp_path_factory.mktemp("data"), environment)
    try:
        await server.start()
        yield server
    finally:
        await server.close()


class InstalledServer(ServerProcess):
    """One that knows nothing of this checkout."""

    def __init__(self, data_dir: Path, environment: CleanPython) -> None:
        super().__init__(data_dir)
        self.environment = environment
        self.python = environment.python

    def _environment(self) -> dict[str, str]:
        return outside()


async def build(source: Path, folder: Path) -> Path:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hatchling", "build", "--directory", str(folder)),
        cwd=source,
        env=outside(),
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0
    return folder


async def test_the_wheel_has_the_client_the_server_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()

    folders = {name.partition("/")[0] for name in names}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {"sendoff", "sendoff_server"}
    assert {"sendoff/py.typed", "sendoff/v1/run_pb2.pyi", "sendoff_server/gateway/__init__.py"} <= set(names)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert not [name for name in names if "__pycache__" in name]


async def test_the_source_distribution_makes_the_same_wheel(dist: Path, wheel: Path, tmp_path: Path) -> None:
    source = dist / wheel.name.replace("-py3-none-any.whl", ".tar.gz")
    with tarfile.open(source) as packed:
        packed.extractall(tmp_path, filter="data")

    await build(tmp_path / source.name.removesuffix(".tar.gz"), tmp_path / "dist")

    assert filecmp.cmp(tmp_path / "dist" / wheel.name, wheel, shallow=False)


async def test_the_client_is_five_packages_and_loads_nothing_of_the_server(
    client_only: CleanPython, record_property: Callable[[str, object], None]
) -> None:
    loads = [json.loads(await client_only.run(WHAT_IS_LOADED)) for _ in range(5)]

    assert client_only.packages() == CLIENT
    for load in loads:
        assert set(load["packages"]) == {"sendoff", "grpc", "google", "typing_extensions.py"}
    fastest_ms = min(load["seconds"] for load in loads) * 1e3
    record_property("language", f"wheel {client_only.version()}")
    record_property("versions", f"client: {client_only.summary()}, imported in {fastest_ms:.0f} ms")


@pytest.mark.parametrize(("command", "extra"), [("sendoff", "cli"), ("sendoff-server", "server")])
async def test_a_command_without_its_extra_says_what_to_install(
    client_only: CleanPython, command: str, extra: str
) -> None:
    said = await told("sh", "-c", '"$0" --help; test $? -eq 1', str(client_only.folder / "bin" / command))

    assert f"pip install 'sendoff[{extra}]'" in said


async def test_with_its_extra_the_command_works_without_the_server(wheel: Path, tmp_path: Path) -> None:
    environment = await clean_python(newest(), tmp_path / "cli")

    await environment.install(f"{wheel}[cli]")

    assert "runs" in await environment.command("sendoff", "--help")
    assert not environment.packages() & {"aiohttp", "cryptography", "starlette", "uvicorn"}


async def test_a_client_from_the_wheel_is_answered_by_a_server_from_the_wheel(
    client_only: CleanPython, with_server: InstalledServer, record_property: Callable[[str, object], None]
) -> None:
    assert await client_only.run(CALL, with_server.address) == "RUN_STATUS_COMPLETED\n"

    record_property("language", "server")
    record_property("versions", f"{with_server.environment.summary()}, Python {with_server.environment.version()}")
