"""The command `sendoff-server serve` as a process: how it starts, stops and refuses to start."""

import asyncio
import json
import signal
import stat
import sys
from pathlib import Path

import httpx
import pytest

from sendoff import AsyncClient, v1
from tests.fixtures.server import ServerProcess


def events(process: ServerProcess) -> list[str]:
    return [json.loads(line)["event"] for line in process.log]


SLOW = {"aiohttp", "anthropic", "mcp", "openai", "pydantic_ai", "sendoff_server.gateway.openapi", "xllamacpp"}
"""What takes long to import, and is imported where it is first wanted."""


async def test_its_start_waits_for_nothing_that_takes_long_to_import() -> None:
    program = f"import sys, sendoff_server.__main__, sendoff_server.app; print(sorted({SLOW} & sys.modules.keys()))"
    started = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    told, _ = await started.communicate()
    assert (started.returncode, told.decode().strip()) == (0, "[]")


async def test_grpc_is_imported_only_once_it_was_told_how_to_behave() -> None:
    program = "import sys, sendoff_server.__main__; print('grpc' in sys.modules)"
    started = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    told, _ = await started.communicate()
    assert (started.returncode, told.decode().strip()) == (0, "False")


async def test_without_what_a_server_needs_the_command_says_what_to_install() -> None:
    program = "import sys; sys.modules['typer'] = None; import sendoff_server.__main__"
    started = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stderr=asyncio.subprocess.PIPE)
    _, told = await started.communicate()
    assert (started.returncode, told.decode()) == (
        1,
        "sendoff-server: the server needs typer: pip install 'sendoff[server]'\n",
    )


async def test_it_tells_at_the_start_what_it_serves(server_process: ServerProcess) -> None:
    await server_process.start()

    starting = json.loads(server_process.log[0])
    assert starting["event"] == "starting"
    assert starting["data_dir"] == str(server_process.data_dir)
    assert starting["database"] == str(server_process.data_dir / "sendoff.db")
    assert starting["default_model"] == "scripted/echo"
    assert "scripted/*" in starting["models"]


async def test_what_it_keeps_is_for_its_owner_only(server_process: ServerProcess) -> None:
    await server_process.start()

    assert stat.S_IMODE(server_process.data_dir.stat().st_mode) == 0o700


async def test_sigterm_drains_and_ends_well(server_process: ServerProcess) -> None:
    await server_process.start()

    assert await server_process.stop() == 0
    assert events(server_process)[-1] == "stopping"


async def test_killed_and_started_again_it_has_the_same_address_and_the_same_data(
    server_process: ServerProcess,
) -> None:
    await server_process.start()
    address = server_process.address
    async with AsyncClient(address) as client:
        agent = await client.create_agent(name="survivor")
    await server_process.kill()
    await server_process.start()

    assert server_process.address == address
    async with AsyncClient(address) as client:  # a channel that was refused meanwhile pauses as long as it likes
        assert (await client.get_agent(agent.id)).name == "survivor"


async def test_a_second_signal_ends_it_at_once(server_process: ServerProcess) -> None:
    await server_process.start("--drain-grace-s", "600")
    async with AsyncClient(server_process.address) as client:
        agent = await client.create_agent(model="scripted/script")
        run = await client.send(agent.id, '{"script": {"words": 10000, "delay_ms": 1000}}')
        await client.wait_run(run.id, v1.WAIT_UNTIL_STARTED)
    server_process.signal(signal.SIGINT)
    await server_process.logged("stopping")

    assert await server_process.stop() == 128 + signal.SIGTERM


async def test_a_database_in_use_is_told_in_one_line(server_process: ServerProcess) -> None:
    await server_process.start()
    other = ServerProcess(server_process.data_dir)

    with pytest.raises(AssertionError, match=r"sendoff-server: .*sendoff\.db is in use by another process"):
        await other.start()

    assert "Traceback" not in "\n".join(other.log)
    await other.close()


async def test_an_address_in_use_is_told_in_one_line(server_process: ServerProcess, tmp_path: Path) -> None:
    await server_process.start()
    other = ServerProcess(tmp_path / "other")
    other.address = server_process.address

    with pytest.raises(AssertionError, match=f"sendoff-server: .*{server_process.address}"):
        await other.start()

    assert "Traceback" not in "\n".join(other.log)
    await other.close()


async def test_it_tells_where_its_rest_door_is_and_answers_there(server_process: ServerProcess) -> None:
    server_process.http_address = "127.0.0.1:0"
    await server_process.start()

    assert not server_process.http_address.endswith(":0")
    async with httpx.AsyncClient(base_url=f"http://{server_process.http_address}") as http:
        assert (await http.get("/v1/health/")).json()["status"] == "ok"


async def test_an_address_for_everybody_is_refused_without_keys_unless_it_is_told_to_be_insecure(
    server_process: ServerProcess,
) -> None:
    server_process.http_address = "0.0.0.0:0"
    with pytest.raises(AssertionError, match=r"sendoff-server keys create.*SENDOFF_INSECURE=true or --insecure"):
        await server_process.start()
    assert await server_process.ended() == 1

    await server_process.start("--insecure")
    (warning,) = [json.loads(line) for line in server_process.log if "there are no keys" in line and line[0] == "{"]
    assert (warning["level"], warning["addresses"]) == ("warning", [server_process.http_address])


async def test_an_address_in_use_of_the_rest_door_is_told_in_one_line(
    server_process: ServerProcess, tmp_path: Path
) -> None:
    server_process.http_address = "127.0.0.1:0"
    await server_process.start()
    other = ServerProcess(tmp_path / "other")
    other.http_address = server_process.http_address

    with pytest.raises(AssertionError, match=f"sendoff-server: .*{other.http_address}.*--http-address"):
        await other.start()

    assert "Traceback" not in "\n".join(other.log)
    await other.close()


async def test_a_default_model_that_no_provider_has_is_told_in_one_line(server_process: ServerProcess) -> None:
    with pytest.raises(AssertionError, match=r"sendoff-server: .*openai/gpt"):
        await server_process.start("--default-model", "openai/gpt")

    assert "Traceback" not in "\n".join(server_process.log)


async def test_a_data_directory_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    tmp_path.joinpath("file").write_text("")
    process = ServerProcess(tmp_path / "file" / "data")

    with pytest.raises(AssertionError, match=r"sendoff-server: the data directory .* cannot be made"):
        await process.start()

    assert "Traceback" not in "\n".join(process.log)
    await process.close()
