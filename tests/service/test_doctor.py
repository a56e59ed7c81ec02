"""`sendoff-server doctor`: what it looks at, and that it says what to mend."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from sendoff import v1
from sendoff_server import settings_flags
from sendoff_server.clock import SystemClock
from sendoff_server.doctor import addresses, command, database, examination, machine, safety
from sendoff_server.doctor.findings import Finding, Verdict, is_well, lines_of
from sendoff_server.models.catalogue import ModelCatalogue, catalogue
from sendoff_server.models.port import Catalogue
from sendoff_server.settings import ProviderSettings, Settings
from sendoff_server.store.api_keys import ApiKey
from sendoff_server.store.sqlite import inspection
from sendoff_server.store_parts import key_desk_of
from sendoff_server.tools.mcp import config
from sendoff_server.tools.mcp.report import faults
from tests.fixtures.certificates import Authority, write
from tests.fixtures.mcp_servers import misbehaving
from tests.fixtures.server import Serve
from tests.postgres import new_database

KEY = ApiKey(id="k1", tenant="acme", role="full", name="", secret_hash=b"x", certificate=None, created_ns=1)


@pytest.fixture
def healthy(tmp_path: Path) -> Settings:
    """Of a server that could be started."""
    return Settings(
        grpc_address="127.0.0.1:0", http_address="127.0.0.1:0", data_dir=tmp_path, scripted_model=True
    ).model_copy(update={"default_model": "scripted/echo"})


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    """Of an empty database on PostgreSQL."""
    with new_database() as made:
        yield made


async def no_tools() -> Mapping[str, str]:
    return {}


def only(findings: Sequence[Finding], verdict: Verdict) -> Finding:
    (found,) = [finding for finding in findings if finding.verdict is verdict]
    assert found.mend
    return found


@asynccontextmanager
async def models(settings: Settings, **variables: str) -> AsyncIterator[ModelCatalogue]:
    nothing = dict.fromkeys(ProviderSettings.model_fields)
    made = catalogue(settings, ProviderSettings.model_validate(nothing | variables), SystemClock())
    yield made
    await made.aclose()


async def test_a_healthy_machine_is_told_to_be_well(
    healthy: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings_flags, "misspelt", dict)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (20_000, 20_000))
    offered = catalogue(
        healthy, ProviderSettings.model_validate(dict.fromkeys(ProviderSettings.model_fields)), SystemClock()
    )

    assert await command.run(healthy, offered, no_tools, as_json=False)
    await offered.aclose()

    told = capsys.readouterr().out.splitlines()
    assert told[-1] == "All is well."
    assert {line.split()[0] for line in told[:-1]} == {"ok"}
    looked_at = {line[9:23].strip() for line in told[:-1]}
    assert {"configuration", "data directory", "open files", "grpc address", "http address", "database"} <= looked_at


async def test_programs_get_a_list(healthy: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    async with models(healthy) as offered:
        await command.run(healthy, offered, no_tools, as_json=True)
    for finding in json.loads(capsys.readouterr().out):
        assert finding.keys() == {"about", "verdict", "told", "mend"}


def test_a_variable_that_is_no_setting_is_told_with_the_one_that_may_be_meant() -> None:
    (found,) = examination.configuration({"SENDOFF_GRPC_ADRESS": "SENDOFF_GRPC_ADDRESS"})
    assert (found.verdict, found.mend) == (Verdict.WARNING, "rename it: SENDOFF_GRPC_ADDRESS")
    assert "SENDOFF_GRPC_ADRESS" in lines_of(found)


async def test_an_address_that_another_program_has_is_a_problem(healthy: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        findings = await addresses.check(healthy.model_copy(update={"grpc_address": taken}))
    found = only(findings, Verdict.PROBLEM)
    assert taken in found.told
    assert "SENDOFF_GRPC_ADDRESS" in found.mend


async def test_an_address_of_another_machine_is_a_problem(healthy: Settings) -> None:
    findings = await addresses.check(healthy.model_copy(update={"http_address": "192.0.2.1:8283"}))
    assert "SENDOFF_HTTP_ADDRESS" in only(findings, Verdict.PROBLEM).mend


async def test_addresses_that_a_server_of_ours_has_are_well(serve: Serve, healthy: Settings) -> None:
    async with serve(http_address="127.0.0.1:0") as server:
        assert server.http is not None
        taken = {"grpc_address": server.grpc.address, "http_address": server.http.address}
        findings = await addresses.check(healthy.model_copy(update=taken))
    for found in findings:
        assert found.verdict is Verdict.OK
        assert "a Sendoff server answers" in found.told


def test_a_data_directory_that_cannot_be_is_a_problem(healthy: Settings, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    findings = list(machine.check(healthy.model_copy(update={"data_dir": in_the_way / "data"})))
    assert "SENDOFF_DATA_DIR" in only(findings, Verdict.PROBLEM).mend


def test_too_few_files_are_warned_of(healthy: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 100_000))
    assert "ulimit -n" in only(list(machine.check(healthy)), Verdict.WARNING).mend


def test_a_callback_secret_that_others_may_read_is_warned_of(healthy: Settings) -> None:
    healthy.callback_secret_path.write_text("whsec_x")
    healthy.callback_secret_path.chmod(0o644)
    findings = [found for found in machine.check(healthy) if found.about == "callback secret"]
    assert only(findings, Verdict.WARNING).mend == f"chmod 600 {healthy.callback_secret_path}"


# ---- SQLite ----


async def test_a_database_that_a_server_uses_is_well(serve: Serve, settings: Settings) -> None:
    async with serve():
        found, _ = await database.check(settings)
    assert found.verdict is Verdict.OK
    assert "in use by a server" in found.told


async def test_looking_changes_nothing(healthy: Settings) -> None:
    await database.check(healthy)
    assert not healthy.database_path.exists()


async def test_a_file_that_is_no_database_is_a_problem(healthy: Settings) -> None:
    healthy.database_path.write_bytes(b"this is no database at all" * 100)
    assert "backup" in only(await database.check(healthy), Verdict.PROBLEM).mend


async def test_a_database_of_a_newer_version_is_a_problem(healthy: Settings) -> None:
    connection = sqlite3.connect(healthy.database_path)
    connection.execute("CREATE TABLE schema_version (number INTEGER, applied_at_ns INTEGER, oldest INTEGER)")
    connection.execute("INSERT INTO schema_version VALUES (9999, 0, 9999)")
    connection.commit()
    connection.close()
    assert "newer" in only(await database.check(healthy), Verdict.PROBLEM).mend


async def test_a_database_over_a_network_is_a_problem(healthy: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "_file_system", lambda _: "nfs4")
    assert "SENDOFF_DATABASE_URL" in only(await database.check(healthy), Verdict.PROBLEM).mend


# ---- PostgreSQL ----


def on(healthy: Settings, url: str, **more: object) -> Settings:
    return healthy.model_copy(update={"database_url": url, **more})


async def findings_of(settings: Settings) -> dict[str, Finding]:
    """By what is told, without what this machine's test server is set to on purpose."""
    found = await database.check(settings)
    return {each.told: each for each in found if " is off, so what" not in each.told}


async def test_a_new_database_is_well_but_for_what_the_test_server_risks(healthy: Settings, dsn: str) -> None:
    found = await database.check(on(healthy, dsn))
    session = await asyncpg.connect(dsn)
    off = {name for name in ("fsync", "synchronous_commit", "full_page_writes") if await shown(session, name) == "off"}
    await session.close()
    assert {each.told.split()[0] for each in found if each.verdict is Verdict.PROBLEM} == off
    assert [each.verdict for each in found if each.about == "clock"] == [Verdict.OK]


async def shown(session: asyncpg.Connection[asyncpg.Record], name: str) -> str:
    return str(await session.fetchval(f"SHOW {name}"))


async def test_a_database_that_does_not_answer_is_a_problem_and_its_password_is_not_told(healthy: Settings) -> None:
    found, _ = await database.check(on(healthy, "postgresql://me:hush@127.0.0.1:9/x"))
    assert found.verdict is Verdict.PROBLEM
    assert "SENDOFF_DATABASE_URL" in found.mend
    assert "hush" not in lines_of(found)


async def test_more_connections_than_there_are_is_a_problem(healthy: Settings, dsn: str) -> None:
    found = await findings_of(on(healthy, dsn, database_connections=1_000))
    assert "max_connections" in only(list(found.values()), Verdict.PROBLEM).mend


async def test_a_role_that_may_not_create_tables_is_a_problem(healthy: Settings, dsn: str) -> None:
    session = await asyncpg.connect(dsn)
    role = f"reader_{os.getpid()}_{time.monotonic_ns()}"
    await session.execute(f"CREATE SCHEMA empty; CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA empty TO {role}")
    parts = urlsplit(dsn)
    at = parts.netloc.rpartition("@")[2]
    query = "&".join(filter(None, (parts.query, "search_path=empty")))
    try:
        found = await findings_of(on(healthy, urlunsplit(parts._replace(netloc=f"{role}@{at}", query=query))))
    finally:
        await session.execute(f"DROP SCHEMA empty; DROP OWNED BY {role}; DROP ROLE {role}")
        await session.close()
    assert "sendoff-server migrate" in only(list(found.values()), Verdict.PROBLEM).mend


async def test_a_clock_that_differs_is_warned_of(healthy: Settings, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr("sendoff_server.store.postgres.inspection.time.time", lambda: real() - 60)
    found = await findings_of(on(healthy, dsn))
    clock = only(list(found.values()), Verdict.WARNING)
    assert clock.about == "clock"
    assert "ahead" in clock.told


# ---- models and tools ----


async def examined(
    settings: Settings, offered: Catalogue, tools: Awaitable[Mapping[str, str]] | None = None
) -> list[Finding]:
    async def ask() -> Mapping[str, str]:
        return {} if tools is None else await tools

    return [each async for some in examination.examine(settings, offered, ask) for each in some]


async def test_a_provider_that_does_not_answer_is_warned_of(healthy: Settings) -> None:
    async with models(healthy, openai_base_url="http://127.0.0.1:9/v1", openai_api_key="hush") as offered:
        found = [each for each in await examined(healthy, offered) if each.about == "models"]
    assert only(found, Verdict.WARNING).told.startswith("openai/*")
    assert is_well(found)


async def test_an_mcp_server_that_does_not_start_is_warned_of(healthy: Settings) -> None:
    entries = {"gone": {"command": "/nonexistent/program"}, "there": misbehaving()}
    configs = config.from_json(json.dumps({"mcpServers": entries}), {})
    async with models(healthy) as offered:
        found = [each for each in await examined(healthy, offered, faults(configs)) if each.about == "MCP servers"]
    assert only(found, Verdict.WARNING).told.startswith("gone: ")
    assert [each.told for each in found if each.verdict is Verdict.OK] == ["there answers"]


async def test_who_never_answers_is_not_waited_for(healthy: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "PATIENCE_S", 0.05)

    class Silent:
        async def list(self) -> v1.ListModelsResponse:
            await asyncio.Event().wait()
            raise AssertionError

    found = await examined(healthy, cast(Catalogue, Silent()))
    assert any(each.about == "models" and "no answer within" in each.told for each in found)


# ---- safety ----


def open_to_others(healthy: Settings, **more: object) -> Settings:
    return healthy.model_copy(update={"grpc_address": "0.0.0.0:0", **more})


async def test_addresses_that_others_reach_without_keys_are_a_problem(healthy: Settings) -> None:
    settings = open_to_others(healthy)
    assert "keys create" in only(await database.check(settings), Verdict.PROBLEM).mend
    assert is_well(await database.check(open_to_others(healthy, insecure=True)))


async def test_once_there_are_keys_all_is_well(healthy: Settings) -> None:
    with new_database() as url:
        for settings in (open_to_others(healthy), on(open_to_others(healthy), url)):
            await key_desk_of(settings, SystemClock()).add(KEY)
            found = [each for each in await database.check(settings) if each.about == "keys"]
            assert [(each.verdict, each.told) for each in found] == [(Verdict.OK, "every call needs a key")]


def test_what_goes_in_the_clear_is_warned_of(healthy: Settings) -> None:
    found = {each.about: each for each in safety.check(open_to_others(healthy))}
    assert (found["TLS"].verdict, found["encryption"].verdict) == (Verdict.WARNING, Verdict.WARNING)
    assert {each.verdict for each in safety.check(healthy)} == {Verdict.OK}


@pytest.mark.parametrize(
    ("good_for", "verdict"), [(90, Verdict.OK), (3, Verdict.WARNING), (-1, Verdict.PROBLEM)], ids=["ok", "soon", "over"]
)
def test_a_certificate_is_told_with_its_end(healthy: Settings, tmp_path: Path, good_for: int, verdict: Verdict) -> None:
    made = write(tmp_path / "tls", Authority().issue("server.test", lasts=timedelta(days=good_for)))
    files = {"tls_certificate_file": str(made.certificate), "tls_key_file": str(made.key)}
    (found,) = [each for each in safety.check(healthy.model_copy(update=files)) if each.about == "TLS"]
    assert found.verdict is verdict
    assert "server.test" in found.told


def test_files_that_cannot_be_used_are_problems(
    healthy: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "smoke")
    quotas = tmp_path / "quotas.toml"
    quotas.write_text("[default]\nno_such_quota = 1")
    files = {"quotas_file": str(quotas), "tls_certificate_file": str(tmp_path / "none.pem")}
    found = [each for each in safety.check(healthy.model_copy(update=files)) if each.verdict is Verdict.PROBLEM]
    assert {each.about for each in found} == {"TLS", "quotas", "traces"}
    assert all(each.mend for each in found)
