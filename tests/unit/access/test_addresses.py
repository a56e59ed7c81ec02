"""Strangers are not served without keys, unless an operator says so."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from sendoff_server.access.addresses import AddressNeedsKeys, check_addresses
from sendoff_server.settings import Settings


def settings(grpc: str, http: str, **fields: object) -> Settings:
    return Settings(grpc_address=grpc, http_address=http, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("http", ["127.0.0.1:1", "[::1]:1", "localhost:1", "off"])
def test_the_loopback_needs_no_keys(http: str) -> None:
    with capture_logs() as logged:
        check_addresses(settings("127.0.0.1:1", http), has_keys=False)
    assert logged == []


@pytest.mark.parametrize(
    ("grpc", "http", "told"),
    [
        ("0.0.0.0:1", "off", "0.0.0.0:1"),
        ("[::]:1", "127.0.0.1:1", "[::]:1"),
        ("127.0.0.1:1", "192.168.1.7:8", "192.168.1.7:8"),
        ("sendoff.example:1", "10.0.0.1:2", "sendoff.example:1 and 10.0.0.1:2"),
    ],
)
def test_other_addresses_are_refused_without_keys_and_the_refusal_says_what_to_do(
    grpc: str, http: str, told: str
) -> None:
    with pytest.raises(AddressNeedsKeys) as refusal:
        check_addresses(settings(grpc, http), has_keys=False)
    assert f"machines reach {told}," in str(refusal.value)
    for remedy in ("sendoff-server keys create", "SENDOFF_GRPC_ADDRESS", "SENDOFF_HTTP_ADDRESS", "--insecure"):
        assert remedy in str(refusal.value)


def test_with_keys_any_address_is_served() -> None:
    with capture_logs() as logged:
        check_addresses(settings("0.0.0.0:1", "0.0.0.0:2"), has_keys=True)
    assert logged == []


def test_an_operator_who_insists_is_served_and_warned() -> None:
    with capture_logs() as logged:
        check_addresses(settings("0.0.0.0:1", "127.0.0.1:2", insecure=True), has_keys=False)
    assert [(line["log_level"], line["addresses"]) for line in logged] == [("warning", ["0.0.0.0:1"])]
