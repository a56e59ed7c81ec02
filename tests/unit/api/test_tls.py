"""The gRPC door over TLS: what it shows, whom it lets in, and as whom."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from sendoff import AsyncClient, Unavailable, v1
from sendoff.v1.run_service_pb2_grpc import RunServiceStub
from sendoff_server.access.gate import Credentials
from sendoff_server.clock import SystemClock
from sendoff_server.tls.certificates import Certificates
from tests.fixtures.certificates import HERE, Authority, write
from tests.fixtures.witness import Witness
from tests.unit.api.door import PATIENCE_S, RUN, RUN_ID, Door, open_door

AUTHORITY = Authority()
SERVER = AUTHORITY.issue(*HERE)
DESK = AUTHORITY.issue("spiffe://here/desk", "desk.example", common_name="desk")


def certificates(folder: Path, authorities: bytes | None = None) -> Certificates:
    return Certificates(write(folder, SERVER, authorities), SystemClock())


async def asked(door: Door, **connection: Any) -> None:
    """A call succeeds. Raises Unavailable, once the time is over."""
    options: dict[str, Any] = {"timeout_s": PATIENCE_S, "tls": True, "api_key": "sk-1"} | connection
    async with AsyncClient(door.server.address, **options) as client:
        assert await client.get_run(RUN_ID) == RUN


async def refused(door: Door, **connection: bytes) -> None:
    with pytest.raises(Unavailable):
        await asked(door, timeout_s=0.5, **connection)


async def test_what_a_certificate_is_for_is_told_at_the_gate(tmp_path: Path) -> None:
    gate = Witness()
    async with open_door(gate, certificates(tmp_path, AUTHORITY.pem)) as door:
        shown = {"certificate": DESK.certificate, "private_key": DESK.key}
        await asked(door, root_certificates=AUTHORITY.pem, **shown)

    assert gate.seen == [Credentials("Bearer sk-1", ("spiffe://here/desk", "desk.example"))]


async def test_where_callers_need_a_certificate_nobody_is_served_without_one_of_the_authority(tmp_path: Path) -> None:
    gate = Witness()
    stranger = Authority("somebody").issue("spiffe://here/desk")
    async with open_door(gate, certificates(tmp_path, AUTHORITY.pem)) as door:
        for shown in ({}, {"certificate": stranger.certificate, "private_key": stranger.key}):
            await refused(door, root_certificates=AUTHORITY.pem, **shown)

    assert gate.seen == []


async def test_without_asking_for_certificates_a_caller_has_no_names(tmp_path: Path) -> None:
    gate = Witness()
    async with open_door(gate, certificates(tmp_path)) as door:
        await asked(door, root_certificates=AUTHORITY.pem)

    assert gate.seen == [Credentials("Bearer sk-1")]


async def test_who_speaks_without_tls_is_not_served(tmp_path: Path) -> None:
    async with open_door(certificates=certificates(tmp_path)) as door, door.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await RunServiceStub(channel).GetRun(v1.GetRunRequest(run_id=RUN_ID), timeout=PATIENCE_S)

    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_new_connections_are_shown_the_new_certificate_and_old_ones_go_on(tmp_path: Path) -> None:
    other = Authority("the next")
    shown = certificates(tmp_path)
    async with open_door(certificates=shown) as door:
        address, old = door.server.address, AUTHORITY.pem
        async with AsyncClient(address, tls=True, root_certificates=old) as client, asyncio.timeout(PATIENCE_S):
            await client.get_run(RUN_ID)
            write(tmp_path, other.issue(*HERE))
            await shown.look()

            await asked(door, root_certificates=other.pem)
            assert await client.get_run(RUN_ID) == RUN
            await refused(door, root_certificates=old)


async def test_who_is_trusted_changes_with_the_file_of_authorities(tmp_path: Path) -> None:
    other = Authority("the next")
    gate, shown = Witness(), certificates(tmp_path, AUTHORITY.pem)
    async with open_door(gate, shown) as door:
        write(tmp_path, SERVER, other.pem)
        await shown.look()
        newcomer = other.issue("new.example")
        both = {"root_certificates": AUTHORITY.pem}
        await refused(door, **both, certificate=DESK.certificate, private_key=DESK.key)
        await asked(door, **both, certificate=newcomer.certificate, private_key=newcomer.key)

    assert [each.certificate_names for each in gate.seen] == [("new.example",)]
