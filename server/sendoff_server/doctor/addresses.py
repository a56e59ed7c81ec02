"""Whether the addresses can be listened on."""

from __future__ import annotations

import asyncio
import errno
import http.client
import socket
from collections.abc import Sequence

from sendoff_server.doctor.findings import Finding, ok, problem
from sendoff_server.networks import is_local
from sendoff_server.settings import Settings
from sendoff_server.settings_flags import variable

_PATIENCE_S = 3.0


async def check(settings: Settings) -> Sequence[Finding]:
    listening = {name: getattr(settings, name) for name in ("grpc_address", "http_address", "metrics_address")}
    asked = [_check(field, address, settings) for field, address in listening.items() if address != "off"]
    return await asyncio.gather(*asked)


async def _check(field: str, address: str, settings: Settings) -> Finding:
    about = field.replace("_", " ")
    if address.startswith("unix:"):
        return ok(about, address)
    host, _, port = address.rpartition(":")
    try:
        await asyncio.to_thread(_listen, host.strip("[]"), int(port))
    except OSError as error:
        return await _told(about, variable(field), error, address, settings)
    return ok(
        about, f"{address} is free, and {'only this machine reaches it' if is_local(address) else 'is reachable'}"
    )


def _listen(host: str, port: int) -> None:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(1)


async def _told(about: str, name: str, error: OSError, address: str, settings: Settings) -> Finding:
    if error.errno == errno.EADDRINUSE:
        if await asyncio.to_thread(_is_served, settings.http_address):
            return ok(about, f"{address} is taken, and a Sendoff server answers at {settings.http_address}")
        return problem(about, f"{address} is taken by another program", f"stop that program, or set another {name}")
    if error.errno == errno.EACCES:
        return problem(about, f"{address} may not be listened on by this user", f"set {name} to a port from 1024 on")
    return problem(
        about, f"{address} cannot be listened on: {error.strerror}", f"set {name} to an address of this machine"
    )


def _is_served(http_address: str) -> bool:
    """Whether what answers there is a server of ours."""
    if http_address == "off":
        return False
    connection = http.client.HTTPConnection(http_address, timeout=_PATIENCE_S)
    try:
        connection.request("GET", "/v1/health/")
        answer = connection.getresponse()
        return answer.status == 200 and b'"version"' in answer.read(1_024)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
