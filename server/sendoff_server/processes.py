"""Several processes behind the same two ports: started, started again when they die, and stopped together.

Each is a server like any other, a replica on the shared database; this one only looks after them. The kernel spreads
connections over the processes that listen. The ports are held here, by sockets that never listen, so that port 0 is the
same for all.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import structlog

from sendoff_server.lifeline import READY, STOP, orders_of
from sendoff_server.process import Failed
from sendoff_server.settings import Settings
from sendoff_server.settings_flags import flag, variable

COMMAND = (sys.executable, "-m", "sendoff_server", "replica")
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0
"""A process that has lived so long is started again after the first pause."""

log = structlog.get_logger(__name__)


async def serve(settings: Settings, *, stop: asyncio.Event, ready: Callable[[Settings], None]) -> None:
    """Serve with all processes until `stop` is set, then have them drain. `ready` is told the settings with the ports
    that were taken, once all serve.

    Raises Failed if a port cannot be had, if a process does not come to serve at the start, or if it does not later
    while no other one serves.
    """
    with ports_held(settings) as shared:
        crew = Crew(shared, stop)
        async with asyncio.TaskGroup() as group:
            for member in crew.members:
                group.create_task(crew.keep(member), name=f"process {member.number}")
                if member.number == 1:  # migrates the database and makes what is missing, or says why nobody can serve
                    await member.began.wait()
            for member in crew.members:
                await member.began.wait()
            if not stop.is_set():
                crew.is_up = True
                ready(shared)
            await stop.wait()
            log.info("stopping", processes=len(crew.members))
        if crew.failure is not None:
            raise crew.failure


class Crew:
    """All processes of one server."""

    def __init__(self, settings: Settings, stop: asyncio.Event) -> None:
        self.members = [Member(number, settings) for number in range(1, settings.processes + 1)]
        self.is_up = False
        """Whether all have begun to serve."""
        self.failure: Failed | None = None
        self._stop = stop

    async def keep(self, member: Member) -> None:
        """Start a process, and again whenever it ends, until all are to stop. One that makes all fail sets `stop`."""
        pause_s = FIRST_PAUSE_S
        try:
            while not self._stop.is_set():
                born_s = time.monotonic()
                code = await member.live(self._stop)
                if self._stop.is_set():
                    return
                self._fail_if_hopeless(member, code)
                if time.monotonic() - born_s >= STEADY_S:
                    pause_s = FIRST_PAUSE_S
                await self._pause(member, code, pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        finally:
            member.began.set()

    def _fail_if_hopeless(self, member: Member, code: int) -> None:
        if not member.has_served and not (self.is_up and any(each.serves for each in self.members)):
            told = f"process {member.number} ended with exit code {code} before it served; it has said why above"
            self.failure = Failed(told)
            self._stop.set()

    async def _pause(self, member: Member, code: int, pause_s: float) -> None:
        if self._stop.is_set():
            return
        log.error("a process has ended and is started again", process=member.number, exit_code=code, pause_s=pause_s)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), pause_s)


class Member:
    """One of the processes, over all its lives."""

    def __init__(self, number: int, settings: Settings) -> None:
        self.number = number
        self.began = asyncio.Event()
        """Set once it has served for the first time, or never will."""
        self.serves = False
        self.has_served = False
        """In its newest life."""
        self._orders = orders_of(number, settings.model_dump(mode="json"))

    async def live(self, stop: asyncio.Event) -> int:
        """Start it, have it drain when `stop` is set, and wait for its end; its exit code, or minus a signal's number.
        Cancelled, it drains without anybody who waits."""
        self.has_served = False
        # A session of its own: Ctrl-C is for us, and would be its second signal.
        process = await asyncio.create_subprocess_exec(*COMMAND, stdin=PIPE, stdout=PIPE, start_new_session=True)
        assert process.stdin is not None
        stopping = asyncio.create_task(_pass_on(stop, process), name="pass on the stop")
        with closing(process.stdin):
            try:
                _write(process, self._orders)
                await self._watch(process)
                return await process.wait()
            finally:
                self.serves = False
                stopping.cancel()

    async def _watch(self, process: Process) -> None:
        assert process.stdout is not None
        if await process.stdout.readline() == READY:
            self.serves = self.has_served = True
            log.info("a process serves", process=self.number, pid=process.pid)
            self.began.set()


async def _pass_on(stop: asyncio.Event, process: Process) -> None:
    await stop.wait()
    _write(process, STOP)


def _write(process: Process, line: bytes) -> None:
    assert process.stdin is not None
    with suppress(OSError, RuntimeError):  # it has ended, which `wait` tells
        process.stdin.write(line)


@contextmanager
def ports_held(settings: Settings) -> Iterator[Settings]:
    """Inside the block nobody else gets the ports; gives the settings with them in place of port 0. Raises Failed."""
    addresses: dict[str, str] = {}
    with ExitStack() as stack:
        places = set()
        for field in ("grpc_address", "http_address"):
            address: str = getattr(settings, field)
            if address == "off":
                continue
            try:
                held = stack.enter_context(_held(address))
            except OSError as error:
                raise _unavailable(field, address) from error
            if held.getsockname() in places:
                raise _unavailable(field, address)
            places.add(held.getsockname())
            addresses[field] = f"{address.rpartition(':')[0]}:{held.getsockname()[1]}"
        yield settings.model_copy(update=addresses)


def _held(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    family, *_, place = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
    with _socket(family) as probe:  # who shares ports gets one too that somebody else shares
        probe.bind(place)
    held = _socket(family)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(place)
    except OSError:
        held.close()
        raise
    return held


def _socket(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def _unavailable(field: str, address: str) -> Failed:
    return Failed(
        f"cannot listen on {address!r}: another process or door has the port, or the address is not of this machine; "
        f"set another with {variable(field)} or {flag(field)}"
    )
