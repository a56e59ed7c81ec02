"""A server as callers in production meet it: with a certificate, and keys."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sendoff import AsyncClient, v1
from tests.fixtures.certificates import HERE, Authority, write
from tests.fixtures.server import ServerProcess
from tests.languages.model import HANDLE


class StoryServer(ServerProcess):
    """Over TLS, for those who have its key, with the story's model as its default. It can be killed and begun again."""

    def __init__(self, folder: Path, model_url: str, database_url: str = "") -> None:
        super().__init__(folder / "data")
        self._folder = folder
        self._database_url = database_url
        self.http_address = "127.0.0.1:0"
        self.api_key = ""
        self.ca_file = folder / "ca.pem"
        self._model_url = model_url
        authority = Authority()
        folder.mkdir(exist_ok=True)
        self.ca_file.write_bytes(authority.pem)
        files = write(folder / "tls", authority.issue(*HERE))
        self._flags = [
            *("--default-model", HANDLE, "--database-url", database_url),
            *("--tls-certificate-file", str(files.certificate), "--tls-key-file", str(files.key)),
        ]

    def another(self) -> StoryServer:
        """One more on the same database, for the same callers."""
        server = StoryServer(self._folder / "another", self._model_url, self._database_url)
        server.api_key, server.ca_file, server._flags = self.api_key, self.ca_file, self._flags
        return server

    async def begin(self) -> None:
        if not self.api_key:
            self.api_key = await self._new_key()
        await self.start(*self._flags)

    def variables(self) -> dict[str, str]:
        """What an example is told of it."""
        return {
            "SENDOFF_ADDRESS": self.address,
            "SENDOFF_URL": f"https://{self.http_address}",
            "SENDOFF_API_KEY": self.api_key,
            "SENDOFF_CA_FILE": str(self.ca_file),
        }

    async def log_of(self, run_id: str) -> list[v1.RunEvent]:
        """The run's log, as our own client reads it."""
        certificates = self.ca_file.read_bytes()
        async with AsyncClient(self.address, tls=True, root_certificates=certificates, api_key=self.api_key) as client:
            return [event async for event in client.run_events(run_id)]

    def _environment(self) -> dict[str, str]:
        return {**super()._environment(), "OPENAI_BASE_URL": self._model_url, "OPENAI_API_KEY": "sk-made-up"}

    async def _new_key(self) -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", self.module, "keys", "create", "--role", "full", "--name", "story"),
            *("--data-dir", str(self.data_dir), "--database-url", self._database_url),
            env=self._environment(),
            stdout=asyncio.subprocess.PIPE,
        )
        told, _ = await process.communicate()
        assert process.returncode == 0
        return told.decode().strip()


@asynccontextmanager
async def story_server(folder: Path, model_url: str, database_url: str = "") -> AsyncIterator[StoryServer]:
    """One that serves inside the block."""
    async with serving(StoryServer(folder, model_url, database_url)) as server:
        yield server


@asynccontextmanager
async def serving(server: StoryServer) -> AsyncIterator[StoryServer]:
    """It serves inside the block."""
    try:
        await server.begin()
        yield server
    finally:
        await server.close()
