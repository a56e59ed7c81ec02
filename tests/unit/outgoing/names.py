"""Resolvers whose answers are told."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from sendoff_server.outgoing.guard import AddressInfo


class Names:
    """The answers come one after the other, whatever is asked for, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, host: str, port: int, *_: object) -> Sequence[AddressInfo]:
        addresses = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [_info(address, port) for address in addresses]


class LikeTheSystem(Names):
    """What the system takes for an address is that address, in all of its spellings; names have the told answers."""

    def __call__(self, host: str, port: int, *rest: object) -> Sequence[AddressInfo]:
        try:
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except (socket.gaierror, UnicodeError):
            return super().__call__(host, port, *rest)


def _info(address: str, port: int) -> AddressInfo:
    if ":" in address:
        host, _, scope = address.partition("%")
        return socket.AF_INET6, socket.SOCK_STREAM, 6, "", (host, port, 0, int(scope or 0))
    return socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)
