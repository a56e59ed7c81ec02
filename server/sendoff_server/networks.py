"""Networks and ports as operators write them, and which addresses are this machine's own."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK: Sequence[Network] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


def networks_of(text: str) -> Sequence[Network]:
    """The networks of "10.0.0.0/8, fd00::/8"; none for "none" or an empty text. Raises ValueError."""
    if text in ("", "none"):
        return ()
    return [ipaddress.ip_network(word.strip()) for word in text.split(",")]


def ports_of(text: str) -> frozenset[int]:
    """The ports of "80, 443, 8000-8999". Raises ValueError."""
    ports: set[int] = set()
    for word in text.split(","):
        found = re.fullmatch("([0-9]{1,5})(?:-([0-9]{1,5}))?", word.strip())
        chosen = range(int(found[1]), int(found[2] or found[1]) + 1) if found else range(0)
        if not chosen or chosen[0] < 1 or chosen[-1] > 65_535:
            raise ValueError("expected ports from 1 to 65535, as in 80,443,8000-8999")
        ports.update(chosen)
    return frozenset(ports)


def is_local(address: str) -> bool:
    """Whether only this machine reaches what listens there: host:port with a loopback host, or a Unix socket."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
