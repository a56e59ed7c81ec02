"""The embedded model: SmolLM2-135M-Instruct in a process of its own, started when it is first called.

It is a model of 135 million parameters for trying things out without a key, not a clever one. It lives in a child
process because llama.cpp ends its process when an assertion fails; the next call then starts another. The child listens
on a Unix socket in a directory that only we can enter, behind a random key, and ends when its stdin closes, however we
end.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from sendoff import v1
from sendoff_server.model_settings import FORMAT, without
from sendoff_server.models.failures import failed
from sendoff_server.models.forced_calls import as_call, bounded, schema_of, told_to_call
from sendoff_server.models.port import Answer, Delta, Model, ModelCall, ModelFailed
from sendoff_server.models.prose import in_prose
from sendoff_server.models.settable import LLAMA
from sendoff_server.models.weights import ensure_weights

if TYPE_CHECKING:
    from sendoff_server.models.library import Connection

_log = structlog.get_logger(__name__)

PROVIDER = "local"
NAME = "smollm2-135m"
HANDLE = f"{PROVIDER}/{NAME}"
SLOTS = 2
"""Calls under way at once; more wait. One thread generates for all of them."""
CONTEXT_TOKENS = 4_096
"""Of each slot. Two of them take 330 MB in all."""

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 5.0
_MOURNING_S = 1.0
_MOST_OUTPUT_TOKENS = 1_024
_SOME_OBJECT = {"type": "object", "additionalProperties": {"type": "string", "maxLength": 200}, "maxProperties": 16}
"""So small a model would never end one that may hold anything."""
_INFO = LLAMA.put(
    v1.Model(handle=HANDLE, context_window=CONTEXT_TOKENS, supports_logprobs=True, supports_token_ids=True)
)
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class _Child:
    """A running process and the way to it."""

    process: asyncio.subprocess.Process
    folder: Path
    connection: Connection

    @property
    def lives(self) -> bool:
        return self.process.returncode is None

    async def aclose(self) -> None:
        await self.connection.aclose()
        await _stopped(self.process)
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)


class EmbeddedModel(Model):
    """The model behind the child process."""

    def __init__(self, provider: EmbeddedProvider) -> None:
        self._provider = provider
        self._slots = asyncio.Semaphore(SLOTS)

    @property
    def info(self) -> v1.Model:
        return _INFO

    async def stream(self, call: ModelCall) -> AsyncGenerator[Delta | Answer]:
        """Calls a tool only where it must, and then its choice of arguments is bound to the tool's schema."""
        forced = call.must_call and bool(call.tools)
        async with self._slots:  # waiting here is not silence of the model
            connection = await self._provider.connection()
            try:
                answering = _forced(connection, call) if forced else _in_form(connection, call)
                async with aclosing(answering) as items:
                    async for item in items:
                        yield item
            except ModelFailed as failure:
                if failure.reason == "MODEL_UNAVAILABLE":
                    await self._provider.mourn()
                raise


def _in_form(connection: Connection, call: ModelCall) -> AsyncGenerator[Delta | Answer]:
    """In the form that is wanted, to which decoding is bound."""
    form = call.settings.response_format
    if form.HasField("json_object"):
        connection = connection.with_body(json_schema=_SOME_OBJECT)
    elif form.HasField("json_schema"):
        connection = connection.with_body(json_schema=bounded(json.loads(form.json_schema.json_schema.json)["schema"]))
    return _in_words(connection, call)


async def _in_words(connection: Connection, call: ModelCall) -> AsyncGenerator[Delta | Answer]:
    from sendoff_server.models.library import stream

    settings = without(call.settings, [FORMAT])  # the form is in the connection
    asked = replace(call, messages=list(in_prose(call.messages)), tools=(), must_call=False, settings=settings)
    async with aclosing(stream(connection, connection.model(NAME), asked)) as items:
        async for item in items:
            yield item


async def _forced(connection: Connection, call: ModelCall) -> AsyncGenerator[Delta | Answer]:
    """Its JSON is nothing to show while it grows, so the call comes in one piece."""
    system = "\n\n".join(filter(None, (call.system, told_to_call(call.tools))))
    bound = connection.with_body(json_schema=schema_of(call.tools))
    async with aclosing(_in_words(bound, replace(call, system=system))) as items:
        async for item in items:
            if isinstance(item, Answer):
                delta, answer = as_call(call, item)
                yield delta
                yield answer


class EmbeddedProvider:
    """Starts the child when it is needed, again when it died, and stops it in the end."""

    name = PROVIDER

    def __init__(self, data_dir: Path, silence_s: float) -> None:
        self._data_dir = data_dir
        self._silence_s = silence_s
        self._model = EmbeddedModel(self)
        self._child: _Child | None = None
        self._starting: asyncio.Task[_Child] | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id, if one was started."""
        return self._child.process.pid if self._child else None

    @property
    def folder(self) -> Path | None:
        """The child's private directory, if one was started."""
        return self._child.folder if self._child else None

    async def list(self) -> Sequence[v1.Model]:
        return [_INFO]

    def model(self, name: str) -> Model:
        assert name == NAME, "the list has one name only"
        return self._model

    async def connection(self) -> Connection:
        """The way to a living child. One start at a time; a caller that is cancelled does not stop it for the
        others."""
        if self._child is not None and self._child.lives:
            return self._child.connection
        if self._starting is None or self._starting.done():
            self._starting = asyncio.create_task(self._start(), name="start the embedded model")
            self._starting.add_done_callback(_seen)
        return (await asyncio.shield(self._starting)).connection

    async def mourn(self) -> None:
        """After a broken connection: if the child is dying, return when that is known, so that the next call starts
        another."""
        if self._child is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_MOURNING_S):
                    await self._child.process.wait()

    async def aclose(self) -> None:
        """Stop the child; calls under way fail."""
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait([self._starting])
        if self._child is not None:
            await self._child.aclose()
            self._child = None

    async def _start(self) -> _Child:
        if self._child is not None:
            _log.warning("the embedded model died and is started again", returncode=self._child.process.returncode)
            await self._child.aclose()
            self._child = None
        weights = await ensure_weights(self._data_dir, lambda told: _log.info("embedded model", doing=told))
        self._child = await _started(weights, self._silence_s)
        return self._child


def _seen(starting: asyncio.Task[_Child]) -> None:
    """Whoever waited may be gone; a failed start then is nobody's, and the next call tries again."""
    if not starting.cancelled():
        starting.exception()


async def _started(weights: Path, silence_s: float) -> _Child:
    """A child that is ready. If that fails or is cancelled, nothing of it is left."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="sendoff-"))
    key = secrets.token_urlsafe(32)
    socket = str(folder / "model.sock")
    process: asyncio.subprocess.Process | None = None
    try:
        process = await _spawned(weights, socket, key, folder / "errors.log")
        connection = await asyncio.to_thread(_connected, key, silence_s, socket)  # imports while the child loads
        await _ready(process, folder / "errors.log")
        return _Child(process, folder, connection)
    except BaseException:
        if process is not None:
            await _stopped(process)
        shutil.rmtree(folder, ignore_errors=True)
        raise


async def _spawned(weights: Path, socket: str, key: str, errors: Path) -> asyncio.subprocess.Process:
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    with errors.open("wb") as sink:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sendoff_server.models.embedded_child"),
            *(str(weights), socket, str(SLOTS), str(CONTEXT_TOKENS)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=sink,
            env=environment | {"SENDOFF_LOCAL_KEY": key},
            start_new_session=True,  # Ctrl-C is for us: runs that drain still need the model
        )


async def _ready(process: asyncio.subprocess.Process, errors: Path) -> None:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            line = await process.stdout.readline()
    except TimeoutError:
        line = b""
    if line.strip() != b"ready":
        told = await asyncio.to_thread(errors.read_text, errors="replace")
        _log.error("the embedded model did not start", told=told[-2_000:])
        raise failed("MODEL_UNAVAILABLE", "the embedded model did not start; the server's log tells why", handle=HANDLE)


def _connected(key: str, silence_s: float, socket: str) -> Connection:
    from pydantic_ai.settings import ModelSettings

    from sendoff_server.models.library import socket_connection

    settings = ModelSettings(
        temperature=0.2, top_p=0.9, seed=2, max_tokens=_MOST_OUTPUT_TOKENS, extra_body={"repeat_penalty": 1.1}
    )  # without the penalty so small a model is easily caught in a loop
    connection = socket_connection(PROVIDER, key, silence_s, socket, settings)
    connection.model(NAME)
    return connection


async def _stopped(process: asyncio.subprocess.Process) -> None:
    """Ask the child to end by closing its stdin, and end it if it does not."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
