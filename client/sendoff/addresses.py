"""Addresses of servers: of one, of several, or a name that gRPC resolves."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

_SCHEMES = ("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "vsock:", "xds:", "google-c2p:")


def joined(addresses: str | Sequence[str]) -> str:
    """One text of them, with commas between. Raises ValueError for none, and for one that has no port."""
    parts = addresses.split(",") if isinstance(addresses, str) else list(addresses)
    cleaned = [part.strip() for part in parts]
    if not all(cleaned) or not cleaned:
        raise ValueError(f"address {addresses!r}: expected host:port, or several with commas between")
    return ",".join(cleaned)


def are_several(address: str) -> bool:
    """Whether there is more than one server, as far as the text tells."""
    return "," in address


def target(address: str) -> str:
    """What gRPC is told. Raises ValueError for several that it could not tell apart: they have to be IP addresses of
    one family, as names are resolved alone."""
    if not are_several(address) or address.startswith(_SCHEMES):
        return address
    pairs = [_host_and_port(part) for part in address.split(",")]
    versions = {ipaddress.ip_address(host).version for host, _ in pairs}
    if len(versions) > 1:
        raise ValueError(f"addresses {address!r}: expected all IPv4, or all IPv6")
    if versions == {6}:
        return "ipv6:" + ",".join(f"[{host}]:{port}" for host, port in pairs)
    return "ipv4:" + ",".join(f"{host}:{port}" for host, port in pairs)


def is_local(address: str) -> bool:
    """Whether all of it is on this machine, as far as the text tells."""
    scheme = next((each for each in _SCHEMES if address.startswith(each)), "")
    if scheme in ("unix:", "unix-abstract:"):
        return True
    return all(map(_is_local_host, address.removeprefix(scheme).removeprefix("///").split(",")))


def _is_local_host(part: str) -> bool:
    has_port = ":" in part and not part.endswith("]")
    host = (part.rpartition(":")[0] if has_port else part).strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host_and_port(part: str) -> tuple[str, int]:
    host, _, port = part.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.strip("[]")
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise ValueError(
            f"address {part!r}: of several, each has to be an IP address and a port; give one name instead that "
            "resolves to all of them, as in dns:///sendoff:50051"
        ) from error
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ValueError(f"address {part!r}: expected a port behind the colon")
    return host, int(port)
