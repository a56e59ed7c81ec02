"""Every role against every RPC and every route, by calls of real keys over both doors; the README shows what came out.

`SENDOFF_UPDATE_ROLES=1` writes what came out into the README.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import grpc
import grpc.aio
import httpx
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from sendoff_server import app
from sendoff_server.access.making import new_key
from sendoff_server.access.principal import Permission, Role
from sendoff_server.access.routes import ROUTES
from sendoff_server.access.rpcs import RPCS
from sendoff_server.clock import SystemClock
from sendoff_server.server_info import SERVICE_FILES
from sendoff_server.settings import Settings
from sendoff_server.store_parts import key_desk_of
from tests.faults.caller import PATIENCE_S
from tests.fixtures.server import Serve

README = Path(app.__file__).parent / "access" / "README.md"
BEGIN, END = "<!-- roles -->", "<!-- end of roles -->"
Outcomes = Mapping[str, tuple[bool, ...]]
"""What each role may, by what is called."""
REFUSED = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})


async def keys_of_roles(settings: Settings) -> dict[Role, str]:
    made: dict[Role, str] = {}
    for role in Role:
        now_ns = SystemClock().now_ns()
        key, token = new_key(tenant="acme", role=role, name="", expires_ns=None, certificate="", now_ns=now_ns)
        await key_desk_of(settings, SystemClock()).add(key)
        assert token is not None
        made[role] = token
    return made


@pytest.fixture
async def keys(settings: Settings) -> dict[Role, str]:
    return await keys_of_roles(settings)


@pytest.fixture
async def server(keys: dict[Role, str], serve: Serve) -> AsyncIterator[app.Server]:
    async with serve(http_address="127.0.0.1:0", drain_grace_s=0) as running:
        yield running


def rpcs() -> list[MethodDescriptor]:
    """All that the contract has."""
    services = {each.full_name: each for file in SERVICE_FILES for each in file.services_by_name.values()}
    return [method for service in services.values() for method in service.methods]


async def called(channel: grpc.aio.Channel, method: MethodDescriptor, key: str | None) -> grpc.StatusCode:
    """With an empty request: the gate is asked before it is looked at."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    metadata = [("authorization", f"Bearer {key}")] if key else []
    request = GetMessageClass(method.input_type)().SerializeToString()
    if method.client_streaming:
        both = channel.stream_stream(path)(iter([request]), metadata=metadata, timeout=PATIENCE_S)
        return await both.code()
    if method.server_streaming:
        down = channel.unary_stream(path)(request, metadata=metadata, timeout=PATIENCE_S)
        return await down.code()
    return await channel.unary_unary(path)(request, metadata=metadata, timeout=PATIENCE_S).code()


async def of_rpcs(server: app.Server, keys: Mapping[Role, str]) -> Outcomes:
    told: dict[str, tuple[bool, ...]] = {}
    async with grpc.aio.insecure_channel(server.grpc.address) as channel:
        for method in rpcs():
            codes = await asyncio.gather(*(called(channel, method, keys[role]) for role in Role))
            assert grpc.StatusCode.UNAUTHENTICATED not in codes
            told[f"{method.containing_service.name}/{method.name}"] = tuple(code not in REFUSED for code in codes)
    return told


async def of_routes(http: httpx.AsyncClient, keys: Mapping[Role, str]) -> Outcomes:
    described = (await http.get("/openapi.json", headers=bearer(keys[Role.FULL]))).json()["paths"]
    told: dict[str, tuple[bool, ...]] = {}
    for path, operations in sorted(described.items()):
        for method in operations:
            answers = await asyncio.gather(*(asked(http, method, path, keys[role]) for role in Role))
            assert 401 not in [answer.status_code for answer in answers]
            told[f"{method.upper()} {path}"] = tuple(answer.status_code != 403 for answer in answers)
    return told


async def asked(http: httpx.AsyncClient, method: str, path: str, key: str | None) -> httpx.Response:
    """Of things that there are not, with a body that says nothing."""
    body = {"content": b"{}"} if method in ("post", "put", "patch") else {}
    return await http.request(method.upper(), re.sub(r"{\w+}", "none", path), headers=bearer(key), **body)  # type: ignore[arg-type]


def bearer(key: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


def web(server: app.Server) -> httpx.AsyncClient:
    assert server.http is not None
    return httpx.AsyncClient(base_url=f"http://{server.http.address}", timeout=PATIENCE_S)


async def test_what_every_role_may_call_is_what_the_page_says(server: app.Server, keys: dict[Role, str]) -> None:
    by_rpc = await of_rpcs(server, keys)
    async with web(server) as http:
        by_route = await of_routes(http, keys)
    assert by_rpc == {name: expected(needed) for name, needed in RPCS.items()}
    assert {name.rstrip("/"): outcome for name, outcome in by_route.items()} == {
        f"{method} {path}": expected(needed) for (method, path), needed in ROUTES.items()
    }
    page = README.read_text()
    now = _with_tables(page, by_rpc, by_route)
    if os.environ.get("SENDOFF_UPDATE_ROLES"):
        README.write_text(now)
    assert now == README.read_text(), (
        "what roles may has changed; if that is meant, run this test with SENDOFF_UPDATE_ROLES=1"
    )


def expected(needed: Iterable[Permission]) -> tuple[bool, ...]:
    return tuple(all(role.may(permission) for permission in needed) for role in Role)


def _with_tables(page: str, by_rpc: Outcomes, by_route: Outcomes) -> str:
    head = f"| Permission | What it is for | {' | '.join(Role)} |\n| {'--- | ' * (2 + len(Role))}\n".replace(
        " \n", "\n"
    )
    before, _, rest = page.partition(head)
    _, _, after = rest.partition("\n\n")
    permissions = [f"| {each.name} | {each.value} | {_marks(expected([each]))} |" for each in Permission]
    front, _, tail = f"{before}{head}{chr(10).join(permissions)}\n\n{after}".partition(BEGIN)
    _, _, tail = tail.partition(END)
    tables = f"{_table('RPC', by_rpc)}\n\n{_table('Route', by_route)}"
    return f"{front}{BEGIN}\n\n{tables}\n\n{END}{tail}"


def _table(kind: str, outcomes: Outcomes) -> str:
    roles = " | ".join(Role)
    rows = [f"| `{name}` | {_marks(outcome)} |" for name, outcome in outcomes.items()]
    return "\n".join([f"| {kind} | {roles} |", "| --- " * (len(Role) + 1) + "|", *rows])


def _marks(outcome: Iterable[bool]) -> str:
    return " | ".join("yes" if may else "" for may in outcome)


def test_every_rpc_and_nothing_else_has_its_permissions() -> None:
    assert set(RPCS) == {f"{method.containing_service.name}/{method.name}" for method in rpcs()}
    assert all(RPCS.values()), "no RPC is open to everybody"


async def test_an_rpc_or_a_route_of_which_nobody_says_what_it_needs_keeps_the_server_from_starting(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.delitem(RPCS, "FileService/GetFile")  # type: ignore[arg-type]  # a dict
        with _without("FileService/GetFile"):
            async with serve():
                pass
    monkeypatch.delitem(ROUTES, ("GET", "/v1/tags"))  # type: ignore[arg-type]
    with _without("/v1/tags"):
        async with serve(http_address="127.0.0.1:0"):
            pass


def _without(missing: str) -> AbstractContextManager[object]:
    told = pytest.RaisesExc(KeyError, match=missing)
    return pytest.RaisesGroup(told, allow_unwrapped=True, flatten_subgroups=True)


async def test_without_a_key_nothing_is_told_but_health(server: app.Server) -> None:
    async with grpc.aio.insecure_channel(server.grpc.address) as channel:
        for method in rpcs():
            assert await called(channel, method, None) is grpc.StatusCode.UNAUTHENTICATED, method.full_name
    async with web(server) as http:
        is_open = set()
        for method, path in ROUTES:
            answer = await asked(http, method.lower(), path, None)
            if answer.status_code != 401:
                is_open.add(path)
                continue
            assert answer.headers["www-authenticate"] == "Bearer"
            assert set(answer.json()) == {"detail", "reason"}
        assert is_open == {"/v1/health", "/v1/ready", "/livez", "/readyz"}
