"""A connection goes where it was told, and a key does not go where others can read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sendoff.addresses import target
from sendoff.connection import Connection, ConnectionOptions, resolve


def test_what_is_given_comes_before_the_environment() -> None:
    environment = {"SENDOFF_ADDRESS": "127.0.0.1:1", "SENDOFF_API_KEY": "from-environment"}

    assert resolve(None, {}, {}) == Connection("127.0.0.1:50051")
    assert resolve(None, {}, environment) == Connection("127.0.0.1:1", api_key="from-environment")
    assert resolve("localhost:2", {"api_key": "k"}, environment) == Connection("localhost:2", api_key="k")


@pytest.mark.parametrize(
    "address",
    [
        "sendoff.example:443",
        "10.0.0.1:50051",
        "localhost.example:1",
        "dns:///a:1",
        "127.example:1",
        "127.0.0.1:1,10.0.0.1:1",
        "ipv4:127.0.0.1:1,10.0.0.1:1",
        "dns://10.0.0.1/localhost:1",
    ],
)
def test_a_key_is_not_sent_in_the_clear_to_another_machine(address: str) -> None:
    with pytest.raises(ValueError, match="in the clear"):
        resolve(address, {"api_key": "k"}, {})


@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("sendoff.example:443", {"tls": True}),
        ("sendoff:50051", {"plaintext_api_key": True}),
        ("127.0.0.1:50051", {}),
        ("localhost:50051", {}),
        ("[::1]:50051", {}),
        ("dns:///localhost:50051", {}),
        ("unix:/run/sendoff.sock", {}),
        ("127.0.0.1:1, localhost:2", {}),
        ("ipv6:[::1]:1", {}),
        ("[::1]", {}),
    ],
)
def test_a_key_is_sent_where_nobody_listens_in(address: str, options: ConnectionOptions) -> None:
    connection = resolve(address, {**options, "api_key": "k"}, {})

    assert connection.metadata == (("authorization", "Bearer k"),)


def test_without_a_key_nothing_is_sent() -> None:
    assert resolve("sendoff.example:443", {}, {}).metadata == ()


def test_an_address_of_the_web_is_explained() -> None:
    with pytest.raises(ValueError, match="host:port"):
        resolve("https://sendoff.example", {}, {})


def test_certificates_without_tls_are_refused() -> None:
    with pytest.raises(ValueError, match="unless tls"):
        resolve(None, {"root_certificates": b""}, {})


def test_a_certificate_and_its_key_are_given_both_or_neither() -> None:
    with pytest.raises(ValueError, match="both, or neither"):
        resolve(None, {"tls": True, "certificate": b"c"}, {})


def test_tls_and_its_files_come_from_the_environment_where_nothing_is_given(tmp_path: Path) -> None:
    (tmp_path / "ca").write_bytes(b"authority")
    (tmp_path / "own").write_bytes(b"own")
    (tmp_path / "key").write_bytes(b"secret")
    environment = {
        "SENDOFF_TLS": "1",
        "SENDOFF_CA_FILE": f"{tmp_path}/ca",
        "SENDOFF_CERTIFICATE_FILE": f"{tmp_path}/own",
        "SENDOFF_PRIVATE_KEY_FILE": f"{tmp_path}/key",
    }

    connection = resolve(None, {}, environment)
    assert connection.tls
    assert (connection.root_certificates, connection.certificate) == (b"authority", b"own")
    assert connection.private_key == b"secret"
    assert "secret" not in repr(connection)
    assert resolve(None, {"root_certificates": b"given"}, environment).root_certificates == b"given"
    assert resolve(None, {"tls": False}, environment) == Connection("127.0.0.1:50051")


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"SENDOFF_TLS": "maybe"}, "SENDOFF_TLS is 'maybe'"),
        ({"SENDOFF_TLS": "1", "SENDOFF_CA_FILE": "/nowhere/ca"}, "SENDOFF_CA_FILE: /nowhere/ca cannot be read"),
        ({"SENDOFF_CA_FILE": __file__}, "unless tls"),
    ],
)
def test_what_is_wrong_with_the_environment_is_told_by_its_variable(environment: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        resolve(None, {}, environment)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("sendoff:50051", "sendoff:50051"),
        (["sendoff:50051"], "sendoff:50051"),
        ("dns:///sendoff:50051", "dns:///sendoff:50051"),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", "ipv4:10.0.0.1:1,10.0.0.2:2"),
        ("10.0.0.1:1, 10.0.0.2:2", "ipv4:10.0.0.1:1,10.0.0.2:2"),
        (["localhost:1", "127.0.0.1:2"], "ipv4:127.0.0.1:1,127.0.0.1:2"),
        ("[fd00::1]:1,[fd00::2]:2", "ipv6:[fd00::1]:1,[fd00::2]:2"),
    ],
)
def test_one_address_is_left_to_grpc_and_several_are_called_in_turn(address: str | list[str], expected: str) -> None:
    assert target(resolve(address, {}, {}).address) == expected


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("a:1,b:2", "resolves to all of them"),
        ("10.0.0.1:1,[::1]:1", "all IPv4, or all IPv6"),
        ("10.0.0.1:1,10.0.0.2", "IP address and a port"),
        ("10.0.0.1:1,10.0.0.2:0", "port behind the colon"),
        ("10.0.0.1:1,", "host:port"),
        ([""], "host:port"),
    ],
)
def test_several_addresses_that_cannot_be_told_apart_are_refused(address: str | list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        resolve(address, {}, {})


def test_several_servers_are_asked_for_their_health_unless_told_otherwise() -> None:
    assert not resolve("sendoff:1", {}, {}).health_checks
    assert resolve("sendoff:1", {"health_checks": True}, {}).health_checks
    assert resolve("10.0.0.1:1,10.0.0.2:2", {}, {}).health_checks
    assert not resolve("10.0.0.1:1,10.0.0.2:2", {"health_checks": False}, {}).health_checks


def test_the_certificates_of_several_addresses_need_a_name() -> None:
    with pytest.raises(ValueError, match="server_name"):
        resolve("10.0.0.1:1,10.0.0.2:2", {"tls": True}, {})
    with pytest.raises(ValueError, match="server_name is without effect"):
        resolve("10.0.0.1:1", {"server_name": "a"}, {})
