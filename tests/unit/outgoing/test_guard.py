"""The guard: what callers can name and the server does not connect to."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from sendoff_server.networks import LOOPBACK, is_local, networks_of, ports_of
from sendoff_server.outgoing.guard import AddressInfo, AddressRefused, Guard

PORTS = ports_of("80,443,1024-65535")
STRICT = Guard((), PORTS)

HOSTILE = (
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",  # metadata of most clouds
    "100.100.100.200",  # and of another one
    "168.63.129.16",  # the host of an Azure machine
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",  # metadata again
    "fe80::1",
    "fec0::1",
    "ff02::1",
)
PUBLIC = ("8.8.8.8", "93.184.215.14", "2606:4700:4700::1111", "::ffff:8.8.8.8")


def info(address: str, port: int = 443) -> AddressInfo:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.SOCK_STREAM, 0, "", (address, port)


def in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@pytest.mark.parametrize("address", HOSTILE)
def test_no_socket_is_made_for_an_address_that_is_not_public(address: str) -> None:
    with pytest.raises(AddressRefused) as told:
        STRICT.socket(info(address))
    assert address not in str(told.value)


@pytest.mark.parametrize("address", HOSTILE)
def test_a_literal_address_that_is_not_public_is_told_at_once(address: str) -> None:
    assert "not public" in (STRICT.fault_of(f"https://{in_url(address)}/hook") or "")


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert STRICT.fault_of(f"https://{in_url(address)}/hook") is None
    STRICT.socket(info(address)).close()


def test_a_scope_hides_no_address() -> None:
    with pytest.raises(AddressRefused):
        STRICT.socket((socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("fe80::1%eth0", 443, 0, 2)))
    assert STRICT.fault_of("http://[fe80::1%25eth0]/") is not None


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8080/",
        "http://LOCALHOST./",
        "http://app.localhost/",
        "http://127.0.0.1./",
        "http://user@127.0.0.1/",
        "http://2130706433/",
        "http://127.1/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://0x7f000001./",
        "http://receiver.1/",
        "http://127\u30020\u30020\u30021/",
        "http://\uff11\uff12\uff17.0.0.1/",
        "http://\u24dbocalhost/",
        "ftp://receiver.example/",
        "file:///etc/passwd",
        "http://receiver.example:22/",
        "https://receiver.example:25/",
    ],
)
def test_urls_that_can_lead_nowhere_good_are_told_at_once(url: str) -> None:
    assert STRICT.fault_of(url)


@pytest.mark.parametrize(
    "url", ["https://receiver.example/x", "http://receiver.example:8080", "HTTPS://a.example/?b#c"]
)
def test_names_are_looked_at_when_they_are_resolved_and_not_before(url: str) -> None:
    assert STRICT.fault_of(url) is None


@pytest.mark.parametrize("port", [1, 22, 25, 81, 1023])
def test_no_socket_is_made_for_a_port_that_is_not_listed(port: int) -> None:
    with pytest.raises(AddressRefused):
        STRICT.socket(info("8.8.8.8", port))


def test_networks_that_the_operator_allows_are_reached_and_their_neighbours_are_not() -> None:
    guard = Guard(networks_of("10.1.0.0/16, fd00::/64"), PORTS)
    for allowed in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::5"):
        assert guard.allows(ipaddress.ip_address(allowed))
    for refused in ("10.2.0.1", "fd00:0:0:1::5", "127.0.0.1"):
        assert not guard.allows(ipaddress.ip_address(refused))


def test_a_loopback_that_is_allowed_opens_nothing_else() -> None:
    guard = Guard(LOOPBACK, PORTS)
    allowed = [address for address in HOSTILE if guard.allows(ipaddress.ip_address(address))]
    assert allowed == ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1"]
    assert guard.fault_of("http://localhost:8080/") is None


@pytest.mark.parametrize("text", ["", "http", "0", "65536", "9-1", "1-", "80;443", "-", "80,,443", "99999999999"])
def test_ports_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected ports"):
        ports_of(text)


def test_ports_and_ranges_are_read() -> None:
    assert ports_of("80, 443,8000-8002") == {80, 443, 8000, 8001, 8002}


@pytest.mark.parametrize("text", ["10.0.0.1/8", "home", "10.0.0.0/8;", "10.0.0.0/33", ","])
def test_networks_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"IPv4 or IPv6 network|host bits set"):
        networks_of(text)


def test_no_networks_are_none_or_an_empty_text() -> None:
    assert networks_of("none") == networks_of("") == ()


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:80", True),
        ("[::1]:80", True),
        ("localhost:80", True),
        ("unix:/run/sendoff.sock", True),
        ("0.0.0.0:80", False),
        ("[::]:80", False),
        ("10.0.0.1:80", False),
        ("host.example:80", False),
    ],
)
def test_an_address_is_local_if_only_this_machine_reaches_it(address: str, local: bool) -> None:
    assert is_local(address) is local
