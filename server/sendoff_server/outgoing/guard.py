"""Where the server may connect to on a caller's word.

Whoever can have the server send a request to an address of his choice could reach what only the server reaches: its
own machine, its network, the metadata service of its cloud. So what a name resolves to is checked where the socket is
made, which is the last moment: the address that is checked is the address that is connected to, whatever a resolver
says the next time. Nothing is allowed that is not handed out for public use, but for the networks that the operator
allows.

A URL is looked at before as well, only so that its caller is told at once.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from sendoff_server.networks import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
AddressInfo = tuple[int, int, int, str, tuple[object, ...]]
"""As getaddrinfo tells it."""

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC: Sequence[Network] = [
    ipaddress.ip_network(each)
    for each in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("224.0.0.0/4", "240.0.0.0/4"),
        "192.88.99.0/24",  # relays of 6to4
        "168.63.129.16/32",  # public by its number, and in Azure the machine's host
        "2001::/23",  # Teredo among others, which leads to any IPv4 address
        "2002::/16",  # 6to4, which does too
        *("2001:db8::/32", "3fff::/20"),
    )
]
"""Of IPv4, and of IPv6's global unicast, what is set apart for other uses. What Python knows of it depends on its
version. NAT64 and other addresses that embed IPv4 ones lie outside of global unicast."""


class AddressRefused(OSError):
    """No connection may be made to this address, and none was."""


class Guard:
    """Decides for every address, literal or resolved, and makes the sockets to those that are allowed."""

    def __init__(self, networks: Sequence[Network], ports: Collection[int]) -> None:
        """`networks` may be reached although they are not public."""
        self._networks = networks
        self._ports = ports

    def fault_of(self, url: str) -> str | None:
        """Why nothing may be sent to an absolute URL, as far as it tells by itself; None for no reason."""
        parts = urlsplit(url)
        scheme, host = parts.scheme.lower(), parts.hostname or ""
        if scheme not in ("http", "https"):
            return "its scheme must be http or https"
        port = parts.port or (443 if scheme == "https" else 80)
        if port not in self._ports:
            return f"port {port} is not allowed by this server"
        host = _plain(host)
        address = _literal(host)
        if address is None:
            return "an address must be written as four numbers, or in brackets" if _is_odd_literal(host) else None
        return None if self.allows(address) else "the address is not public, and not allowed by this server"

    def allows(self, address: Address) -> bool:
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return _is_in(address, self._networks) or _is_public(address)

    def socket(self, info: AddressInfo) -> socket.socket:
        """A socket for a connection to that address and no other. Raises AddressRefused."""
        family, kind, protocol, _, where = info
        host, port = str(where[0]), where[1]
        if port not in self._ports:
            raise AddressRefused(f"port {port} is not allowed")
        if not self.allows(ipaddress.ip_address(host.partition("%")[0])):
            raise AddressRefused("the host has an address that is not allowed")
        return socket.socket(family, kind, protocol)


def _is_public(address: Address) -> bool:
    if address.version == 6 and address not in _GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and not _is_in(address, _NOT_PUBLIC)


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def _plain(host: str) -> str:
    """The host in the letters, digits and dots that are made of it before it is looked up."""
    return unicodedata.normalize("NFKC", host).replace("\u3002", ".")


def _literal(host: str) -> Address | None:
    """The address that a host names without a resolver, by its number or as this machine; None for other names."""
    name = host.partition("%")[0].rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return ipaddress.IPv4Address("127.0.0.1")
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_odd_literal(host: str) -> bool:
    """Whether systems may take it for an IPv4 address: with fewer parts, in hexadecimal or octal."""
    last = host.rstrip(".").rpartition(".")[2]
    return re.fullmatch(r"0x[0-9a-f]*|[0-9]+", last) is not None
