"""Who did what: an entry for every call that changed something or was not allowed, in every way in which calls end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from sendoff import v1
from sendoff_server import app
from sendoff_server.access.gate import Credentials, require
from sendoff_server.access.principal import Permission, Principal, Role, act_for
from sendoff_server.access.routes import ROUTES
from sendoff_server.access.rpcs import RPCS
from sendoff_server.audit.methods import IN_TRANSACTION, is_act
from sendoff_server.settings import ProviderSettings, Settings
from tests.contract.databases import PostgresDatabase
from tests.faults.caller import PATIENCE_S, Caller, calling, refused, script
from tests.fixtures.server import Serve
from tests.service.answering import call_id, give, respond, stopped


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """Of a database of either engine; empty: on SQLite in the data directory."""
    if request.param == "sqlite":
        return ""
    postgres: PostgresDatabase = request.getfixturevalue("postgres")
    return postgres.dsn


@asynccontextmanager
async def world(serve: Serve, url: str = "", **settings: Any) -> AsyncIterator[tuple[Caller, httpx.AsyncClient]]:
    """A server with both doors, and a caller at each."""
    async with serve(database_url=url, http_address="127.0.0.1:0", **settings) as server:
        assert server.http is not None
        async with (
            calling(server.grpc.address) as caller,
            httpx.AsyncClient(base_url=f"http://{server.http.address}", timeout=PATIENCE_S) as http,
        ):
            yield caller, http


async def entries(caller: Caller, **filters: Any) -> list[v1.AuditEntry]:
    """All, oldest first."""
    asked = v1.ListAuditEntriesRequest(page_size=1_000, **filters)
    return list((await caller.ops.ListAuditEntries(asked, timeout=PATIENCE_S)).entries)[::-1]


async def told(caller: Caller, **filters: Any) -> list[tuple[str, str]]:
    return [(each.method, each.outcome) for each in await entries(caller, **filters)]


async def test_an_act_is_told_with_time_address_ids_and_outcome_over_both_doors(serve: Serve, url: str) -> None:
    async with world(serve, url) as (caller, http):
        agent_id = await caller.agent()
        made = (await http.post("/v1/agents/", json={"model": "scripted/echo"})).json()
        run = await caller.ended((await caller.send(agent_id, "hello")).id)
        sent = (await http.post(f"/v1/agents/{made['id']}/messages/async", json={"input": "hello"})).json()
        await caller.ended(sent["id"])
        await http.delete(f"/v1/agents/{made['id']}")
        found = await entries(caller)
    assert [(each.method, each.outcome, list(each.resource_ids)) for each in found] == [
        ("AgentService/CreateAgent", "OK", [agent_id]),
        ("POST /v1/agents", "OK", [made["id"]]),
        ("RunService/CreateMessageAsync", "OK", [run.id, agent_id]),
        ("POST /v1/agents/{agent_id}/messages/async", "OK", [sent["id"], made["id"]]),
        ("DELETE /v1/agents/{agent_id}", "OK", [made["id"]]),
    ]
    assert all(each.address.startswith("ipv4:127.0.0.1:") for each in found)
    assert all(not (each.key_id or each.key_name or each.role) for each in found)
    times = [each.create_time.ToNanoseconds() for each in found]
    assert times == sorted(times)
    assert all(abs(run.create_time.ToNanoseconds() - time) < PATIENCE_S * 1e9 for time in times)


async def test_answers_and_cancels_are_told_with_their_runs(serve: Serve, url: str) -> None:
    async with world(serve, url) as (caller, http):
        agent_id = await caller.agent()
        slow = await caller.send(agent_id, script(hang=True))
        behind = await caller.send(agent_id, "behind")
        await caller.cancel(behind.id)
        await http.post(f"/v1/runs/{slow.id}:cancel", json={})
        await caller.ended(slow.id)
        await caller.cancel(slow.id)
        assert await told(caller, resource_id=behind.id) == [
            ("RunService/CreateMessageAsync", "OK"),
            ("RunService/CancelRun", "OK"),
        ]
        assert await told(caller, resource_id=slow.id) == [
            ("RunService/CreateMessageAsync", "OK"),
            ("POST /v1/runs/{run_id}:cancel", "OK"),
        ]


async def test_answers_to_actions_are_told_with_the_run_that_waits_and_the_one_that_goes_on(
    serve: Serve, url: str
) -> None:
    async with world(serve, url) as (caller, http):
        agent_id = await caller.agent()
        one, two = await stopped(caller, agent_id, "mine", "mine"), await stopped(caller, await caller.agent(), "mine")
        await respond(caller, one.agent_id, give(one, 0))
        on = (await respond(caller, one.agent_id, give(one, 1))).run
        item = {"type": "tool", "tool_call_id": call_id(two), "status": "success", "tool_return": "x"}
        path = "/v1/conversations/default/actions:respond"
        answered = await http.post(path, json={"agent_id": two.agent_id, "decisions": [item]})
        assert answered.is_success, answered.text
        found = [each for each in await entries(caller) if "espond" in each.method]
    assert [(each.method, each.outcome) for each in found] == [
        ("ActionService/RespondToActions", "OK"),
        ("ActionService/RespondToActions", "OK"),
        ("POST /v1/conversations/{conversation_id}/actions:respond", "OK"),
    ]
    assert one.id in found[0].resource_ids
    assert on.id in found[1].resource_ids


async def test_what_was_not_done_has_no_entry_in_the_transaction_and_an_outcome_elsewhere(serve: Serve) -> None:
    nobody = "agent-01a202a8-ac80-4318-bbf5-8d71bb45e531"
    async with world(serve) as (caller, http):
        await refused(caller.send(nobody, "hello"))
        await refused(caller.agents.DeleteAgent(v1.DeleteAgentRequest(agent_id=nobody)))
        await http.delete(f"/v1/agents/{nobody}")
        await http.patch(f"/v1/agents/{nobody}", json={"name": "x"})
        assert await told(caller) == [
            ("AgentService/DeleteAgent", "AGENT_NOT_FOUND"),
            ("DELETE /v1/agents/{agent_id}", "AGENT_NOT_FOUND"),
            ("PATCH /v1/agents/{agent_id}", "AGENT_NOT_FOUND"),
        ]


async def test_repeats_are_told_once_because_they_do_nothing(serve: Serve, url: str) -> None:
    async with world(serve, url) as (caller, _):
        agent_id = await caller.agent()
        runs = {(await caller.send(agent_id, "hello", request_id="once")).id for _ in range(3)}
        assert len(runs) == 1
        assert [method for method, _ in await told(caller)].count("RunService/CreateMessageAsync") == 1


async def test_reading_leaves_no_entries(serve: Serve) -> None:
    async with world(serve) as (caller, http):
        await caller.agents.ListAgents(v1.ListAgentsRequest())
        await http.get("/v1/agents/")
        await http.get("/v1/audit-entries")
        assert await entries(caller) == []


async def test_filters_and_pages(serve: Serve, url: str) -> None:
    async with world(serve, url) as (caller, http):
        agents = [await caller.agent() for _ in range(5)]
        middle = (await entries(caller, resource_id=agents[2]))[0].create_time
        assert [list(each.resource_ids) for each in await entries(caller, end_time=middle)] == [[a] for a in agents[:2]]
        assert [list(each.resource_ids) for each in await entries(caller, start_time=middle)] == [
            [a] for a in agents[2:]
        ]
        assert await entries(caller, method="RunService/CancelRun") == []
        assert len(await entries(caller, method="AgentService/CreateAgent", outcome="OK")) == 5
        assert await entries(caller, outcome="INTERNAL") == []
        assert await entries(caller, key_id="other") == []
        seen: list[str] = []
        token = ""
        while True:
            query = {"page_size": "2", "page_token": token}
            page = (await http.get("/v1/audit-entries", params=query)).json()
            seen += [each["resource_ids"][0] for each in page["entries"]]
            if not (token := page["next_page_token"] or ""):
                break
        assert seen == agents[::-1]


async def test_a_page_looks_through_so_many_entries_and_tells_where_it_stopped(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sendoff_server.audit.service._AT_ONCE", 2)
    monkeypatch.setattr("sendoff_server.audit.service.LOOKED_AT", 4)
    async with world(serve) as (caller, _):
        agents = [await caller.agent() for _ in range(7)]
        ask = v1.ListAuditEntriesRequest(resource_id=agents[0])
        found: list[v1.AuditEntry] = []
        pages = 0
        while pages == 0 or ask.page_token:
            page = await caller.ops.ListAuditEntries(ask)
            found += page.entries
            ask.page_token = page.next_page_token
            pages += 1
        assert [list(each.resource_ids) for each in found] == [[agents[0]]]
        assert pages == 2


async def test_an_act_whose_end_is_not_known_is_told_without_outcome(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash: the entry stands before anything is done."""
    async with serve() as server, calling(server.grpc.address) as caller:
        seen = asyncio.Event()

        async def hang(*_: object) -> None:
            seen.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(server.use_cases.agents, "create", hang)
        call = asyncio.create_task(caller.agent())
        await asyncio.wait_for(seen.wait(), PATIENCE_S)
        assert await told(caller) == [("AgentService/CreateAgent", "")]
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert await told(caller) == [("AgentService/CreateAgent", "")]


async def test_nothing_is_done_where_the_entry_cannot_be_written(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    from sendoff_server.store.port import StoreFailed

    async with serve() as server, calling(server.grpc.address) as caller:
        store = server.parts.commits._store
        flush = store.flush

        async def fails(batch: Any) -> Any:
            raise StoreFailed("the disk is full")

        monkeypatch.setattr(store, "flush", fails)
        agent = v1.CreateAgentRequest(agent=v1.Agent(name="one", model="scripted/echo"))
        assert (await refused(caller.agents.CreateAgent(agent))).reason == "STORE_UNAVAILABLE"
        monkeypatch.setattr(store, "flush", flush)
        assert (await caller.agents.ListAgents(v1.ListAgentsRequest())).agents == []
        assert await entries(caller) == []


async def test_entries_are_kept_for_as_long_as_the_operator_wants(serve: Serve, url: str) -> None:
    async with serve(database_url=url) as server, calling(server.grpc.address) as caller:
        agents = [await caller.agent() for _ in range(3)]
        store = server.parts.commits._store
        found = await entries(caller)
        last_ns = found[-1].create_time.ToNanoseconds()
        assert await store.purge_audit(last_ns) == 2
        assert [list(each.resource_ids) for each in await entries(caller)] == [[agents[2]]]
        assert await store.purge_audit(last_ns) == 0
        assert await store.purge_audit(last_ns + 1_000) == 1  # clocks tell microseconds
        assert await entries(caller) == []


def test_everything_that_changes_something_is_an_act() -> None:
    names = {f"{service.name}/{m.name}" for service in services() for m in service.methods if not reads(m)}
    assert {name for name, needed in RPCS.items() if is_act(needed)} == names
    known = set(RPCS) | {f"{method} {path}" for method, path in ROUTES}
    assert known >= IN_TRANSACTION


def services() -> list[Any]:
    from google.protobuf import descriptor_pool

    pool = descriptor_pool.Default()
    found = {name.partition("/")[0] for name in RPCS}
    return [pool.FindServiceByName(f"sendoff.v1.{name}") for name in sorted(found)]


def reads(method: Any) -> bool:
    return bool(method.GetOptions().idempotency_level == 1)


class TwoTenants:
    """A gate that takes the word of callers for who they are, and lets the one with the role in who reads only."""

    async def admit(self, credentials: Credentials, *needed: Permission) -> Principal:
        tenant, _, role = (credentials.authorization or "").partition(" ")
        principal = Principal(tenant, Role(role), f"key-of-{tenant}", f"{tenant}'s")
        act_for(principal)
        require(principal, *needed)
        return principal

    async def recheck(self, principal: Principal) -> None:
        """Nothing has changed."""


async def test_tenants_see_their_own_acts_and_refusals_name_the_key(settings: Settings) -> None:
    providers = ProviderSettings.model_construct()
    settings = settings.model_copy(update={"http_address": "127.0.0.1:0"})
    async with app.running(settings, providers, gate=TwoTenants()) as server, calling(server.grpc.address) as caller:
        assert server.http is not None
        create = v1.CreateAgentRequest(agent=v1.Agent(name="one", model="scripted/echo"))
        for who in ("acme full", "acme read-only", "other read-only"):
            call = caller.agents.CreateAgent(create, metadata=(("authorization", who),), timeout=PATIENCE_S)
            await asyncio.gather(call, return_exceptions=True)
        async with httpx.AsyncClient(base_url=f"http://{server.http.address}") as http:
            denied = await http.delete("/v1/agents/agent-1", headers={"authorization": "acme send-only"})
            assert denied.status_code == 403
            assert (await http.get("/v1/audit-entries", headers={"authorization": "acme full"})).status_code == 403
            listed = await http.get("/v1/audit-entries", headers={"authorization": "acme operator"})
        of = v1.ListAuditEntriesRequest()
        others = await caller.ops.ListAuditEntries(of, metadata=(("authorization", "other operator"),))
    found = [(each["role"], each["method"], each["outcome"], each["key_id"]) for each in listed.json()["entries"]]
    assert found[::-1] == [
        ("full", "AgentService/CreateAgent", "OK", "key-of-acme"),
        ("read-only", "AgentService/CreateAgent", "PERMISSION_DENIED", "key-of-acme"),
        ("send-only", "DELETE /v1/agents/{agent_id}", "PERMISSION_DENIED", "key-of-acme"),
        ("full", "GET /v1/audit-entries", "PERMISSION_DENIED", "key-of-acme"),
    ]
    assert [(each.method, each.outcome, each.key_name) for each in others.entries] == [
        ("AgentService/CreateAgent", "PERMISSION_DENIED", "other's")
    ]
