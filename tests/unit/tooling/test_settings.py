"""Settings: flags, environment and what cannot be."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sendoff_server import settings_flags
from sendoff_server.__main__ import cli
from sendoff_server.settings import ProviderSettings, Settings

README = Path(__file__).parents[3] / "README.md"


def fault(**given: str) -> str:
    with pytest.raises(settings_flags.BadSettings) as caught:
        settings_flags.read(given)
    return str(caught.value)


def test_a_flag_wins_over_the_environment_and_that_over_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_flags.read({"max_running": None}).max_running == 500
    monkeypatch.setenv("SENDOFF_MAX_RUNNING", "7")
    assert settings_flags.read({"max_running": None}).max_running == 7
    assert settings_flags.read({"max_running": "8"}).max_running == 8


def test_an_empty_variable_is_as_if_it_were_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENDOFF_MAX_RUNNING", "")
    monkeypatch.setenv("OPENAI_API_KEY", "")

    assert settings_flags.read({}).max_running == 500
    assert settings_flags.read_providers().openai_api_key is None


def test_a_fault_names_the_flag_or_the_variable_that_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENDOFF_MODEL_RETRIES", "many")

    lines = fault(max_running="0").splitlines()

    assert [line.partition(":")[0] for line in lines] == ["--max-running", "SENDOFF_MODEL_RETRIES"]


@pytest.mark.parametrize("address", ["50051", ":50051", "localhost", "localhost:", "localhost:http", "localhost:65536"])
def test_an_address_is_host_and_port(address: str) -> None:
    assert "expected host:port" in fault(grpc_address=address)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql://db/x#y",
        "postgresql://db/x?user=a@b",
        "mysql://db/x",
        "sqlite://x.db",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///x.db?mode=ro",
        "x.db",
    ],
)
def test_a_database_that_cannot_be_served_is_refused(url: str) -> None:
    assert "expected sqlite:///" in fault(database_url=url)


def test_a_password_in_a_refused_database_url_is_not_told() -> None:
    told = fault(database_url="mysql://ann:hunter2/hunter2@db/x?password=hunter2")

    assert "hunter2" not in told
    assert "db/x" in told


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:hunter2@db/x",
        "postgres://ann:hunter2@db/x?sslmode=require",
        "postgresql://ann:hun@hunter2@db/x",
        "postgresql://db/x?password=hunter2&user=ann",
        "postgresql://ann:hunter2@db1:5432,db2:5433/x?target_session_attrs=read-write",
    ],
)
def test_a_password_of_the_database_is_told_by_nothing_that_prints_settings(url: str) -> None:
    settings = settings_flags.read({"database_url": url})

    assert settings.postgres_url == url
    assert "hunter2" not in settings.database_told + repr(settings) + str(settings)
    hosts = "db1:5432,db2:5433" if "db1" in url else "db"
    assert f"{hosts}/x" in settings.database_told


@pytest.mark.parametrize("wanted", ["any", "standby", "prefer-standby", "read-only", ""])
def test_a_database_that_takes_no_writes_is_not_to_be_asked_for(wanted: str) -> None:
    told = fault(database_url=f"postgresql://db1,db2/x?sslmode=require&target_session_attrs={wanted}")

    assert "target_session_attrs must be read-write" in told


def test_a_relative_database_stays_relative_and_an_absolute_one_absolute(tmp_path: Path) -> None:
    assert settings_flags.read({"database_url": "sqlite:///x.db"}).database_path == Path("x.db")
    assert settings_flags.read({"database_url": f"sqlite:///{tmp_path}/x.db"}).database_path == tmp_path / "x.db"
    assert settings_flags.read({"data_dir": str(tmp_path)}).database_path == tmp_path / "sendoff.db"


def test_a_key_is_not_told_by_what_prints_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")

    providers = settings_flags.read_providers()

    assert "sk-secret" not in repr(providers) + str(providers)
    assert providers.anthropic_api_key is not None
    assert providers.anthropic_api_key.get_secret_value() == "sk-secret"


def test_a_misspelt_variable_is_noticed_and_the_clients_variables_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENDOFF_MAX_RUNING", "7")
    monkeypatch.setenv("SENDOFF_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("SENDOFF_API_KEY", "key")

    assert settings_flags.misspelt() == {"SENDOFF_MAX_RUNING": "SENDOFF_MAX_RUNNING"}


def test_help_tells_every_setting_with_its_variable_default_and_meaning() -> None:
    # Help is wrapped into columns, so words are compared, in the order in which they stand.
    told = " ".join(CliRunner().invoke(cli, ["serve", "--help"]).output.split())

    for name, field in Settings.model_fields.items():
        variable = settings_flags.variable(name)
        assert (f"{settings_flags.flag(name)} " in told) is settings_flags.has_flag(name)
        assert (f"[env {variable}]" if settings_flags.has_flag(name) else variable) in told
        assert field.description is not None
        assert field.description in told
    for name in ProviderSettings.model_fields:
        assert settings_flags.variable(name, ProviderSettings) in told
    assert "[default 127.0.0.1:50051]" in told


def test_settings_that_cannot_be_used_end_the_command_with_2_and_one_line_each() -> None:
    outcome = CliRunner().invoke(cli, ["serve", "--max-running", "0", "--log-format", "xml"])

    assert outcome.exit_code == 2
    assert [line.partition(":")[0] for line in outcome.stderr.splitlines()[1:]] == ["--max-running", "--log-format"]


def test_the_readme_has_the_table_of_settings_as_it_is() -> None:
    table = CliRunner().invoke(cli, ["settings"]).output.strip()

    assert table in README.read_text(), "put the output of `.venv/bin/sendoff-server settings` into the README"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"tls_certificate_file": "c"}, "SENDOFF_TLS_KEY_FILE: a certificate and its key"),
        ({"tls_key_file": "k"}, "--tls-key-file: a certificate and its key"),
        ({"tls_client_ca_file": "a"}, "--tls-client-ca-file: callers can be asked"),
    ],
)
def test_tls_needs_all_that_belongs_to_it(given: dict[str, str], told: str) -> None:
    assert told in fault(**given)
