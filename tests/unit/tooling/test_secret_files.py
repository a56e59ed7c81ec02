"""Secret settings out of files, and that no fault of theirs tells what they are."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sendoff_server import settings_flags
from sendoff_server.__main__ import cli
from sendoff_server.encryption_keys import new_key
from sendoff_server.settings import ProviderSettings, Settings
from sendoff_server.settings.files import SUFFIX, is_secret

SECRET = "postgresql://user:lantern-3f9c1b@db/x"


@pytest.fixture(autouse=True)
def _no_files_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for settings in (Settings, ProviderSettings):
        for field in settings.model_fields:
            monkeypatch.delenv(settings_flags.variable(field, settings) + SUFFIX, raising=False)


def test_what_is_secret_can_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"SENDOFF_DATABASE_URL": SECRET, "SENDOFF_ENCRYPTION_KEYS": new_key()}.items():
        file = tmp_path / name
        file.write_text(f"{text}\n")
        monkeypatch.setenv(f"{name}_FILE", str(file))
        assert getattr(settings_flags.read({}), name.removeprefix("SENDOFF_").lower()) == text


def test_every_provider_key_can_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [name for name, field in ProviderSettings.model_fields.items() if is_secret(field)]
    assert "openai_api_key" in keys
    assert "openai_base_url" not in keys
    for name in keys:
        file = tmp_path / name
        file.write_text(f"  key of {name}\n")
        monkeypatch.setenv(f"{name}_file".upper(), str(file))
    providers = settings_flags.read_providers()
    assert {name: getattr(providers, name).get_secret_value() for name in keys} == {n: f"key of {n}" for n in keys}
    assert "key of" not in repr(providers)


def test_what_is_not_secret_does_not_come_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "many").write_text("7")
    monkeypatch.setenv("SENDOFF_MAX_RUNNING_FILE", str(tmp_path / "many"))
    assert settings_flags.read({}).max_running == 500


def test_a_flag_wins_over_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "url").write_text(SECRET)
    monkeypatch.setenv("SENDOFF_DATABASE_URL_FILE", str(tmp_path / "url"))
    assert settings_flags.read({"database_url": "sqlite:///x.db"}).database_url == "sqlite:///x.db"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff", "not UTF-8"),
        (b"x" * 70_000, "more"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    content: bytes | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(file))
    with pytest.raises(settings_flags.BadSettings, match=rf"^OPENAI_API_KEY_FILE: .*key.* {told}"):
        settings_flags.read_providers()


def test_a_variable_and_a_file_for_one_setting_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "url").write_text(SECRET)
    monkeypatch.setenv("SENDOFF_DATABASE_URL_FILE", str(tmp_path / "url"))
    monkeypatch.setenv("SENDOFF_DATABASE_URL", "sqlite:///x.db")
    with pytest.raises(settings_flags.BadSettings, match="are both set"):
        settings_flags.read({})
    monkeypatch.setenv("SENDOFF_DATABASE_URL", "")
    assert settings_flags.read({}).database_url == SECRET


def test_a_misspelt_file_variable_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENDOFF_ENCRYPTION_KEY_FILE", "/x")
    assert settings_flags.misspelt() == {"SENDOFF_ENCRYPTION_KEY_FILE": "SENDOFF_ENCRYPTION_KEYS_FILE"}
    monkeypatch.delenv("SENDOFF_ENCRYPTION_KEY_FILE")
    monkeypatch.setenv("SENDOFF_ENCRYPTION_KEYS_FILE", "/x")
    assert settings_flags.misspelt() == {}


@pytest.mark.parametrize("wrong", ["lantern-3f9c1b", f"{'A' * 43}=,lantern-3f9c1b"])
def test_no_fault_of_encryption_keys_tells_them(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENDOFF_ENCRYPTION_KEYS", wrong)
    outcome = CliRunner().invoke(cli, ["serve"])
    assert outcome.exit_code == 2
    assert "SENDOFF_ENCRYPTION_KEYS: key " in outcome.stderr
    assert not any(word in outcome.output for word in wrong.split(","))
    with pytest.raises(settings_flags.BadSettings) as caught:
        settings_flags.read({})
    assert "lantern" not in "".join(traceback.format_exception(caught.value))


def test_encryption_keys_are_no_flag_and_shown_nowhere() -> None:
    outcome = CliRunner().invoke(cli, ["serve", "--encryption-keys", new_key()])
    assert (outcome.exit_code, "No such option" in outcome.stderr) == (2, True)
    key = new_key()
    assert key not in repr(Settings(encryption_keys=key))


def test_a_new_key_is_one() -> None:
    made = CliRunner().invoke(cli, ["secrets", "new-key"]).stdout.strip()
    assert Settings(encryption_keys=made).encryption
