"""The manifests of `deploy/kubernetes/`: held against Kubernetes' own schemas, against each other and the server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from sendoff.v1 import run_service_pb2
from sendoff_server import __main__, settings_flags
from sendoff_server.api.health import LIVENESS
from sendoff_server.api.server import STOP_GRACE_S
from sendoff_server.encryption_keys import new_key
from sendoff_server.settings import ProviderSettings, Settings
from sendoff_server.settings.files import SUFFIX, is_secret

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
README = FOLDER.parent / "README.md"
VERSIONS = ("1.29", kubernetes_validate.latest_version())
"""Of Kubernetes: the oldest that knows all that is used, and the newest."""
NOT_ITS_OWN = {"Kustomization", "ScaledObject"}
"""Kinds that other programs read."""

KNOWN = {
    name + suffix
    for settings in (Settings, ProviderSettings)
    for field, each in settings.model_fields.items()
    for name in (settings_flags.variable(field, settings),)
    for suffix in (("", SUFFIX) if is_secret(each) else ("",))
}
"""All variables that the server reads."""

Json = dict[str, Any]


def _read(path: Path) -> list[Json]:
    return list(yaml.safe_load_all(path.read_text()))


ALL = [(path.name, each) for path in sorted(FOLDER.glob("*.yaml")) for each in _read(path)]


def _the(kind: str, name: str = "sendoff") -> Json:
    (found,) = [each for _, each in ALL if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def _pods() -> list[Json]:
    """The pods of all manifests: their labels and what they run."""
    found = []
    for _, each in ALL:
        if each["kind"] == "Pod":
            found.append({"metadata": each["metadata"], "spec": each["spec"]})
        elif each["kind"] in ("Deployment", "Job"):
            found.append(each["spec"]["template"])
    return found


def _server() -> Json:
    (container,) = _the("Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(container)


def _containers() -> list[Json]:
    return [each for pod in _pods() for each in pod["spec"]["containers"]]


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_manifest(version: str) -> None:
    checked = [each for _, each in ALL if each["kind"] not in NOT_ITS_OWN]
    assert len(checked) > 10
    for each in checked:
        kubernetes_validate.validate(each, version, strict=True)


def test_what_kubernetes_does_not_know_is_not_taken() -> None:
    wrong = _the("PodDisruptionBudget") | {"spec": {"maxUnavailble": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_what_is_applied_is_there_and_all_else_is_told_when() -> None:
    (kustomization,) = _read(FOLDER / "kustomization.yaml")
    applied = set(kustomization["resources"])
    there = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert applied <= there
    told = README.read_text()
    assert {name for name in there - applied if name not in told} == set()
    assert {each["metadata"]["namespace"] for _, each in ALL if each["kind"] not in ("Namespace", "Kustomization")} == {
        kustomization["namespace"]
    }


# ---- against the server ----


def test_what_servers_are_told_are_settings_that_they_take(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = _the("Secret")["stringData"] | {"encryption-keys": new_key()}
    for key, value in secret.items():
        (tmp_path / key).write_text(value)
    place = _mounts(_server())["secrets"]
    given = _the("ConfigMap")["data"]
    assert set(given) <= KNOWN
    assert {name for name in given if name.endswith("_FILE")} >= {"SENDOFF_DATABASE_URL_FILE"}
    for name, value in given.items():
        monkeypatch.setenv(name, value.replace(place, str(tmp_path)))
    settings = settings_flags.read({})
    assert settings.postgres_url == secret["database-url"]
    assert settings.encryption
    assert settings.callback_secret_path.read_text() == secret["callback-secret"]
    assert settings_flags.read_providers().openai_api_key is not None


def _mounts(container: Json) -> dict[str, str]:
    return {each["name"]: each["mountPath"] for each in container["volumeMounts"]}


def test_every_pod_is_told_settings_alone_and_runs_a_command_that_there_is() -> None:
    for container in _containers():
        assert {each["name"] for each in container.get("env", ())} <= KNOWN
    commands = {each.name or each.callback.__name__ for each in __main__.cli.registered_commands if each.callback}
    given = [each["args"] for each in _containers() if "args" in each]
    assert given
    assert {arguments[0] for arguments in given} <= commands


def test_ports_are_those_that_the_image_listens_on() -> None:
    image = (FOLDER.parent / "Dockerfile").read_text()
    listened = {int(each) for each in re.findall(r"_ADDRESS=0\.0\.0\.0:([0-9]+)", image)}
    ports = {each["name"]: each["containerPort"] for each in _server()["ports"]}
    assert {ports["grpc"], ports["http"]} == listened
    assert _the("ConfigMap")["data"]["SENDOFF_METRICS_ADDRESS"] == f"0.0.0.0:{ports['metrics']}"
    for name in ("sendoff", "sendoff-direct"):
        for port in _the("Service", name)["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]
    callers, watching = _the("NetworkPolicy")["spec"]["ingress"]
    assert {each["port"] for each in callers["ports"]} == listened
    assert {each["port"] for each in watching["ports"]} == {ports["metrics"]}


def test_probes_ask_what_the_server_tells() -> None:
    container = _server()
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    asked = {name: container[f"{name}Probe"]["grpc"] for name in ("startup", "readiness", "liveness")}
    assert {each["port"] for each in asked.values()} == {ports["grpc"]}
    services = {f"sendoff.v1.{name}" for name in run_service_pb2.DESCRIPTOR.services_by_name}
    assert asked["readiness"]["service"] in services
    assert (asked["startup"]["service"], asked["liveness"]["service"]) == (LIVENESS, LIVENESS)


def test_a_server_may_stop_in_its_own_time_and_is_told_of_for_longer_than_it_takes_to_notice() -> None:
    config = _the("ConfigMap")["data"]
    notice_s, grace_s = float(config["SENDOFF_DRAIN_NOTICE_S"]), float(config["SENDOFF_DRAIN_GRACE_S"])
    takes_s = notice_s + grace_s + 2 * STOP_GRACE_S
    assert _the("Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > takes_s
    probe = _server()["readinessProbe"]
    assert notice_s >= (probe["periodSeconds"] + probe["timeoutSeconds"]) * probe["failureThreshold"]


# ---- against each other ----


def test_what_chooses_pods_chooses_servers_and_no_other_pod() -> None:
    servers = _the("Deployment")["spec"]["template"]["metadata"]["labels"]
    spread = _the("Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"]
    choices = [
        _the("Deployment")["spec"]["selector"]["matchLabels"],
        _the("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        spread["matchLabels"],
        *(_the("Service", name)["spec"]["selector"] for name in ("sendoff", "sendoff-direct")),
    ]
    others = [pod["metadata"]["labels"] for pod in _pods() if pod["metadata"]["labels"] != servers]
    assert len(others) == 2
    for choice in choices:
        assert choice.items() <= servers.items()
        assert not any(choice.items() <= labels.items() for labels in others)
    reached = _the("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    assert all(reached.items() <= pod["metadata"]["labels"].items() for pod in _pods())


def test_secrets_and_volumes_that_are_named_are_there() -> None:
    for pod in _pods():
        (container,) = pod["spec"]["containers"]
        volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
        assert set(_mounts(container)) == set(volumes)
        name = volumes["secrets"]["secret"]["secretName"]
        assert name == _the("Secret")["metadata"]["name"] or name in README.read_text()
    place = _mounts(_server())["secrets"]
    files = {value for value in _the("ConfigMap")["data"].values() if value.startswith(place)}
    assert files == {f"{place}/{key}" for key in _the("Secret")["stringData"]}


def test_both_autoscalers_scale_the_servers_and_by_the_same() -> None:
    (keda,) = _read(FOLDER / "autoscaling-keda.yaml")
    scaler = _the("HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == keda["spec"]["scaleTargetRef"]["name"] == "sendoff"
    assert "replicas" not in _the("Deployment")["spec"]
    (external,) = [each["external"] for each in scaler["metrics"] if each["type"] == "External"]
    (asked,) = [each["metadata"] for each in keda["spec"]["triggers"] if each["type"] == "prometheus"]
    assert asked["query"] == f"max({external['metric']['name']})"
    assert asked["threshold"] == external["target"]["value"]
    assert external["metric"]["name"] in README.read_text()
    bounds = (scaler["minReplicas"], scaler["maxReplicas"])
    assert bounds == (keda["spec"]["minReplicaCount"], keda["spec"]["maxReplicaCount"])
    assert scaler["minReplicas"] > _the("PodDisruptionBudget")["spec"]["maxUnavailable"]


# ---- rights ----


def test_no_pod_has_a_right_that_it_does_not_need() -> None:
    assert _the("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for pod in _pods():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        for container in spec["containers"]:
            rights = container["securityContext"]
            assert rights["allowPrivilegeEscalation"] is False
            assert rights["readOnlyRootFilesystem"]
            assert rights["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


def test_servers_reach_no_private_address_but_names_and_the_database() -> None:
    _, _, internet = _the("NetworkPolicy")["spec"]["egress"]
    blocks = [each["ipBlock"] for each in internet["to"]]
    spared = {network for each in blocks for network in each["except"]}
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7"} <= spared
    assert _the("NetworkPolicy", "nobody")["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
