"""A connection goes where it was told, and a key does not go where others can read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sendoff.connection import Connection, ConnectionOptions, resolve


def test_what_is_given_comes_before_the_environment() -> None:
    environment = {"SENDOFF_ADDRESS": "127.0.0.1:1", "SENDOFF_API_KEY": "from-environment"}

    assert resolve(None, {}, {}) == Connection("127.0.0.1:50051")
    assert resolve(None, {}, environment) == Connection("127.0.0.1:1", api_key="from-environment")
    assert resolve("localhost:2", {"api_key": "k"}, environment) == Connection("localhost:2", api_key="k")


@pytest.mark.parametrize("address", ["sendoff.example:443", "10.0.0.1:50051", "localhost.example:1", "dns:///a:1"])
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
