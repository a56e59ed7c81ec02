"""What the README tells people to do, done: against a real server, in an empty directory."""

import asyncio
import os
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from sendoff import AsyncClient
from tests.fixtures.server import ServerProcess

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
TIMEOUT_S = 240  # the whole page is one script, and each of its commands a process


def blocks(language: str) -> list[str]:
    """The fenced blocks of that language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


async def run(command: list[str], text: str, cwd: Path, environment: Mapping[str, str]) -> str:
    """What the command prints when it is fed `text`. Fails unless it ends well."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            printed, _ = await process.communicate(text.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


@pytest.fixture
def server_process(server_process: ServerProcess) -> ServerProcess:
    """With both doors, as it is by default."""
    server_process.http_address = "127.0.0.1:0"
    return server_process


def environment(server: ServerProcess) -> dict[str, str]:
    """As in a shell of the reader's: our commands are found, and the server is the one that runs."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SENDOFF_ADDRESS": server.address,
        "SENDOFF_DATA_DIR": str(server.data_dir),
    }


def here(text: str, server: ServerProcess) -> str:
    return text.replace("127.0.0.1:50051", server.address).replace("127.0.0.1:8283", server.http_address)


def all_in_order() -> str:
    """Every program and every command, as one script."""
    told = re.findall(r"^```(python|sh)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return "\n".join(f"python - <<'END'\n{text}END" if language == "python" else text for language, text in told)


async def test_all_programs_and_commands_run_one_after_the_other(server_process: ServerProcess, tmp_path: Path) -> None:
    await server_process.start()
    script = here(all_in_order(), server_process)

    printed = await run(["bash", "-euo", "pipefail", "-x", "-s"], script, tmp_path, environment(server_process))

    programs = [line for line in printed.splitlines() if line.startswith("+ python -")]
    assert len(programs) == len(blocks("python"))
    assert printed.count("You said:") >= len(blocks("python")) + 2, "and twice by the command"
    assert "+ sendoff actions approve run-" in printed
    assert re.search(r"^whsec_\S+$", printed, re.MULTILINE)
    assert len(re.findall(r"^.*Z  run\.finished  run-", printed, re.MULTILINE)) == 1, "which was pulled"
    assert "\nLikes ships.\n" in printed
    assert "sendoff.v1.RunService/WatchRun" in printed
    assert '"status":"created"' in printed
    assert "data: [DONE]" in printed
    assert tmp_path.joinpath("backup.db").stat().st_size > 0


async def test_a_listener_is_told_as_shown(server_process: ServerProcess, tmp_path: Path) -> None:
    await server_process.start()
    (told,) = [block for block in blocks("console") if "callbacks listen" in block]
    listen, send = told.splitlines()
    async with AsyncClient(server_process.address) as client:
        agent = await client.create_agent()
        known = {**environment(server_process), "AGENT": agent.id}
        listening = asyncio.create_task(run(["bash", "-c", f"{listen} --count 1"], "", tmp_path, known))
        async with asyncio.timeout(TIMEOUT_S):
            while not [endpoint async for endpoint in client.endpoints()]:  # noqa: ASYNC110  # another process makes it
                await asyncio.sleep(0.02)
        run_id = (await run(["bash", "-c", send], "", tmp_path, known)).strip()
        printed = await listening

        assert re.search(rf"^run.finished  {run_id}  completed .*verified", printed, re.MULTILINE)
        assert "You said: Book a table for two." in printed
        assert [endpoint async for endpoint in client.endpoints()] == []


async def test_a_backup_made_as_told_has_what_the_server_had(server_process: ServerProcess, tmp_path: Path) -> None:
    await server_process.start()
    async with AsyncClient(server_process.address) as client:
        agent = await client.create_agent(name="kept")
        (backup,) = [block for block in blocks("sh") if "sendoff-server backup" in block]
        await run(["bash", "-euo", "pipefail", "-s"], backup, tmp_path, environment(server_process))
    await server_process.stop()

    restored = ServerProcess(tmp_path / "restored")
    restored.data_dir.mkdir()
    tmp_path.joinpath("backup.db").rename(restored.data_dir / "sendoff.db")
    await restored.start()
    async with AsyncClient(restored.address) as client:
        assert (await client.get_agent(agent.id)).name == "kept"
    await restored.close()


def test_what_is_to_be_made_can_be_made() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = set(re.findall(r"`?make ([a-z-]+)", README))

    assert {"run", "test", "help", "bench"} <= told
    assert told <= targets


def test_what_is_to_be_installed_is_an_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    told = {name for names in re.findall(r"'\.\[([a-z,]+)\]'", README) for name in names.split(",")}

    assert told == {"server", "local", "postgres"}
    assert told <= extras.keys()


def test_what_is_linked_is_there() -> None:
    linked = [target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target]

    assert linked
    assert [target for target in linked if not (ROOT / target).exists()] == []


def test_the_service_file_names_settings_that_there_are() -> None:
    (unit,) = blocks("ini")
    known = {*re.findall(r"`(SENDOFF_[A-Z_]+)` \| `--", README)}
    told = set(re.findall(r"SENDOFF_[A-Z_]+", unit))

    assert told
    assert told <= known
