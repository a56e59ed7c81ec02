"""The client loads on the newest Python of this machine with the oldest runtimes that it declares.

That it does so with the newest ones is shown by the wheel's tests, which install those.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.clients.test_oldest_runtime import SERVICES, load_with
from tests.languages.clean_python import clean_python, newest

ROOT = Path(__file__).parents[2]
RUNTIMES = ("grpcio", "protobuf", "googleapis-common-protos")


def oldest() -> list[str]:
    """The runtimes in the versions that the generator's environment has, which are the client's lower bounds."""
    pinned = (ROOT / "requirements/gen.in").read_text().splitlines()
    return [line for line in pinned if line.partition("==")[0] in RUNTIMES]


async def test_the_client_loads_on_the_oldest_runtimes_and_the_newest_python_without_a_warning(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    assert len(oldest()) == len(RUNTIMES)
    environment = await clean_python(newest(), tmp_path / "python")
    await environment.install(*oldest())

    grpc_version, protobuf_version, *services = await load_with(environment.python, "-W", "error")

    assert services == SERVICES
    version = (await environment.run("import platform; print(platform.python_version())")).strip()
    record_property("language", "runtimes")
    record_property("versions", f"Python {version}, grpcio {grpc_version}, protobuf {protobuf_version}")
