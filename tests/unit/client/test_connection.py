"""A connection goes where it was told, and a key does not go where others can read it."""

from __future__ import annotations

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
