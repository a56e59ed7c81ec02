"""Quotas over both doors: who has all that he may have is told so, with when to come back; others notice nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from sendoff import v1
from sendoff_server import app
from sendoff_server.settings import ProviderSettings, Settings
from sendoff_server.store.items import Item, Result
from sendoff_server.store.port import Poisoned
from sendoff_server.store.sqlite.engine import SqliteStore
from tests.contract.databases import PostgresDatabase
from tests.faults.caller import Caller, Refusal, patiently, refused, script
from tests.faults.gated import hold_calls
from tests.fixtures.bearers import WordGate, calling_as
from tests.fixtures.scripted_gate import HeldCalls

Start = Callable[..., AbstractAsyncContextManager[app.Server]]


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Start:
    """Starts servers with that file of quotas, whose callers say of which tenant they are."""

    @asynccontextmanager
    async def started(quotas: str = "", **changes: Any) -> AsyncIterator[app.Server]:
        file = tmp_path / "quotas.toml"
        file.write_text(quotas)
        changed = settings.model_copy(update={"quotas_file": str(file), "drain_grace_s": 0.0, **changes})
        async with app.running(changed, ProviderSettings.model_construct(), gate=WordGate()) as server:
            yield server

    return started


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    return hold_calls(monkeypatch, HeldCalls())


def _http(server: app.Server, word: str) -> httpx.AsyncClient:
    assert server.http is not None
    headers = {"authorization": f"Bearer {word}"}
    return httpx.AsyncClient(base_url=f"http://{server.http.address}", headers=headers, timeout=30)


def _quota(refusal: Refusal) -> tuple[grpc.StatusCode, str, str, str]:
    return refusal.code, refusal.reason, refusal.metadata["quota"], refusal.metadata["subject"]


async def _sent(caller: Caller, agent_id: str, count: int) -> Counter[str]:
    """So many at once: how many were accepted, and why others were not."""

    async def one() -> str:
        try:
            await caller.send(agent_id, script(text="Hi"))
        except grpc.aio.AioRpcError as error:
            return Refusal(error).reason
        return "accepted"

    return Counter(await asyncio.gather(*(one() for _ in range(count))))


_PNG = b"\x89PNG\r\n\x1a\n"
RESOURCE_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_accepts_beyond_the_rate_are_refused_over_both_doors_and_others_are_served(start: Start) -> None:
    quotas = "[tenants.acme]\naccepts_per_s = 0.01\naccepts_burst = 2\n"
    async with (
        start(quotas, http_address="127.0.0.1:0") as server,
        calling_as(server.grpc.address, "acme/1") as acme,
        calling_as(server.grpc.address, "zoe/2") as zoe,
        _http(server, "acme/1") as rest,
    ):
        agent, other = await acme.agent(), await zoe.agent()
        assert await _sent(acme, agent, 10) == {"accepted": 2, "QUOTA_EXCEEDED": 8}
        refusal = await refused(acme.send(agent, script(text="Hi")))
        assert _quota(refusal) == (RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", "accepts_per_s", "tenant:acme")
        assert refusal.retry_after_s == 60
        answer = await rest.post(f"/v1/agents/{agent}/messages/async", json={"input": "Hi"})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
        assert answer.json()["reason"] == "QUOTA_EXCEEDED"
        assert await _sent(zoe, other, 5) == {"accepted": 5}
        assert server.admission.refused["QUOTA_EXCEEDED", "accepts_per_s"] == 10


async def test_a_key_has_its_own_quota_beside_that_of_its_tenant(start: Start) -> None:
    quotas = "[keys.one]\naccepts_per_s = 0.01\n[tenants.acme]\naccepts_per_s = 0.01\naccepts_burst = 3\n"
    async with (
        start(quotas) as server,
        calling_as(server.grpc.address, "acme/one") as one,
        calling_as(server.grpc.address, "acme/two") as two,
    ):
        agent = await one.agent()
        assert await _sent(one, agent, 2) == {"accepted": 1, "QUOTA_EXCEEDED": 1}
        assert _quota(await refused(one.send(agent, script(text="Hi"))))[2:] == ("accepts_per_s", "key:one")
        assert await _sent(two, agent, 3) == {"accepted": 2, "QUOTA_EXCEEDED": 1}
        assert _quota(await refused(two.send(agent, script(text="Hi"))))[2:] == ("accepts_per_s", "tenant:acme")


async def test_of_open_runs_there_are_never_more_than_the_quota_and_an_end_makes_room(
    start: Start, held: HeldCalls
) -> None:
    await _fill_open_runs(start, held)


async def test_on_postgres_there_are_never_more_open_runs_than_the_quota_either(
    start: Start, held: HeldCalls, postgres: PostgresDatabase
) -> None:
    await _fill_open_runs(start, held, database_url=postgres.dsn)


async def _fill_open_runs(start: Start, held: HeldCalls, **changes: Any) -> None:
    async with (
        start("[tenants.acme]\nopen_runs = 3\n", **changes) as server,
        calling_as(server.grpc.address, "acme/1") as acme,
        calling_as(server.grpc.address, "zoe/2") as zoe,
    ):
        agent, other = await acme.agent(), await zoe.agent()
        assert await _sent(acme, agent, 20) == {"accepted": 3, "QUOTA_EXCEEDED": 17}
        refusal = await refused(acme.send(agent, script(text="Hi")))
        assert _quota(refusal) == (RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", "open_runs", "tenant:acme")
        assert refusal.retry_after_s == 1
        assert await _sent(zoe, other, 1) == {"accepted": 1}
        held.release(2)
        first = (await acme.list_all(order_by="create_time"))[0]
        await acme.ended(first.id)
        async with asyncio.timeout(30):
            while not (await _sent(acme, agent, 1))["accepted"]:  # noqa: ASYNC110  # it is counted again, now and then
                await asyncio.sleep(0.05)


async def test_watchers_beyond_the_quota_are_refused_until_one_goes_away(start: Start, held: HeldCalls) -> None:
    async with (
        start("[tenants.acme]\nwatchers = 2\n", http_address="127.0.0.1:0") as server,
        calling_as(server.grpc.address, "acme/1") as acme,
        calling_as(server.grpc.address, "zoe/2") as zoe,
        _http(server, "acme/1") as rest,
    ):
        run = await acme.send(await acme.agent(), script(text="Hi"))
        streams = [acme.watch(run.id) for _ in range(2)]
        for stream in streams:
            await patiently(stream.read())
        assert _quota(await refused(acme.watch(run.id).read()))[2:] == ("watchers", "tenant:acme")
        assert _quota(await refused(acme.ended(run.id)))[2:] == ("watchers", "tenant:acme")
        answer = await rest.get(f"/v1/runs/{run.id}:wait")
        assert (answer.status_code, answer.json()["reason"]) == (429, "QUOTA_EXCEEDED")
        blocking = await rest.post(f"/v1/agents/{run.agent_id}/messages", json={"input": "Hi"})
        assert (blocking.status_code, blocking.json()["reason"]) == (429, "QUOTA_EXCEEDED")
        assert len(await acme.list_all()) == 1, "what would not be answered is not accepted"
        assert (await refused(zoe.watch(run.id).read())).reason == "RUN_NOT_FOUND"
        streams[0].cancel()
        async with asyncio.timeout(30):
            while (await refused_or_none(acme.watch(run.id))) is not None:  # noqa: ASYNC110  # it is told to nobody
                await asyncio.sleep(0.02)
        held.release()


async def refused_or_none(stream: Any) -> Refusal | None:
    try:
        await stream.read()
    except grpc.aio.AioRpcError as error:
        return Refusal(error)
    return None


async def test_a_request_that_is_too_large_for_its_tenant_is_refused_over_both_doors(start: Start) -> None:
    quotas = "[tenants.acme]\nrequest_bytes = 2000\n[keys.small]\nrequest_bytes = 1000\n"
    async with (
        start(quotas, http_address="127.0.0.1:0") as server,
        calling_as(server.grpc.address, "acme/1") as acme,
        calling_as(server.grpc.address, "acme/small") as small,
        calling_as(server.grpc.address, "zoe/2") as zoe,
        _http(server, "acme/1") as rest,
    ):
        agent, other = await acme.agent(), await zoe.agent()
        refusal = await refused(acme.send(agent, "x" * 2_000))
        assert (refusal.reason, refusal.metadata["limit"]) == ("REQUEST_TOO_LARGE", "2000")
        refusal = await refused(small.send(agent, "x" * 1_000))
        assert (refusal.reason, refusal.metadata["limit"]) == ("REQUEST_TOO_LARGE", "1000")
        answer = await rest.post(f"/v1/agents/{agent}/messages/async", json={"input": "x" * 2_000})
        assert answer.status_code == 413
        await zoe.send(other, "x" * 2_000)


async def test_a_tenant_with_few_slots_waits_for_them_while_others_go_on(start: Start, held: HeldCalls) -> None:
    async with (
        start("[tenants.acme]\nruns_under_way = 1\n") as server,
        calling_as(server.grpc.address, "acme/1") as acme,
        calling_as(server.grpc.address, "zoe/2") as zoe,
    ):
        first, second = [await acme.send(await acme.agent(), script(text="Hi")) for _ in range(2)]
        others = [await zoe.send(await zoe.agent(), script(text="Hi")) for _ in range(2)]
        begun = {(await patiently(held.begun.get())).run_id for _ in range(3)}
        assert begun == {first.id, *(run.id for run in others)}
        told = await acme.runs.ExplainRun(v1.ExplainRunRequest(run_id=second.id))
        assert told.cap == v1.RunCap(most=1, running=1)
        assert list(told.blocking_run_ids) == [first.id]
        held.release(3)
        assert (await patiently(held.begun.get())).run_id == second.id
        held.release()
        await acme.ended(second.id)


async def test_callers_are_told_what_they_may_have_and_what_they_use(start: Start, held: HeldCalls) -> None:
    quotas = "[tenants.acme]\nopen_runs = 9\naccepts_per_s = 50\n[keys.one]\nwatchers = 4\n"
    async with (
        start(quotas, http_address="127.0.0.1:0", max_watchers=7) as server,
        calling_as(server.grpc.address, "acme/one") as acme,
        _http(server, "acme/one") as rest,
        AsyncExitStack() as stack,
    ):
        run = await acme.send(await acme.agent(), script(text="Hi"))
        stream = acme.watch(run.id)
        stack.callback(stream.cancel)
        await patiently(stream.read())
        told = {
            (each.subject, each.name): each for each in (await acme.ops.GetServerInfo(v1.GetServerInfoRequest())).quotas
        }
        assert {place: (each.limit, each.used) for place, each in told.items()} == {
            ("tenant:acme", "accepts_per_s"): (50, 0),
            ("tenant:acme", "watchers"): (7, 1),
            ("key:one", "watchers"): (4, 1),
            ("tenant:acme", "open_runs"): (9, 1),
        }
        assert not told["tenant:acme", "accepts_per_s"].HasField("used")
        listed = (await rest.get("/v1/server-info")).json()["quotas"]
        assert {"name": "open_runs", "subject": "tenant:acme", "limit": 9.0, "used": 1.0}.items() <= listed[-1].items()
        held.release()


async def test_more_at_once_than_there_is_room_for_is_refused_and_a_quiet_tenant_finds_room(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        start(max_waiting_accepts=8) as server,
        calling_as(server.grpc.address, "loud/1") as loud,
        calling_as(server.grpc.address, "quiet/2") as quiet,
    ):
        agent, other = await loud.agent(), await quiet.agent()
        may, flush = asyncio.Event(), SqliteStore.flush

        async def held_back(store: SqliteStore, batch: Sequence[Item]) -> list[Result | Poisoned]:
            await may.wait()
            return await flush(store, batch)

        monkeypatch.setattr(SqliteStore, "flush", held_back)
        many = asyncio.create_task(_sent(loud, agent, 100))
        async with asyncio.timeout(30):
            while server.admission.refused["OVERLOADED", ""] < 96:  # noqa: ASYNC110  # a count has no event
                await asyncio.sleep(0.02)
        refusal = await refused(loud.send(agent, script(text="Hi")))
        assert (refusal.code, refusal.retry_after_s) == (grpc.StatusCode.UNAVAILABLE, 1)
        few = asyncio.create_task(_sent(quiet, other, 2))
        async with asyncio.timeout(30):
            while server.admission.places_left > 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        may.set()
        assert await patiently(few) == {"accepted": 2}
        assert await patiently(many) == {"accepted": 4, "OVERLOADED": 96}


async def test_who_has_stored_too_much_can_send_and_upload_nothing_new(start: Start) -> None:
    await _fill_stored(start)


async def test_on_postgres_who_has_stored_too_much_can_send_and_upload_nothing_new_either(
    start: Start, postgres: PostgresDatabase
) -> None:
    await _fill_stored(start, database_url=postgres.dsn)


async def _fill_stored(start: Start, **changes: Any) -> None:
    async with (
        start("[tenants.acme]\nstored_mb = 1\n", **changes) as server,
        calling_as(server.grpc.address, "acme/1") as acme,
        calling_as(server.grpc.address, "zoe/2") as zoe,
    ):
        upload = v1.CreateFileRequest(file=v1.File(name="a.png", media_type="image/png"), data=_PNG + bytes(600_000))
        run = await acme.send(await acme.agent("scripted/echo"), "x" * 300_000)
        assert (await acme.ended(run.id)).status == v1.RUN_STATUS_COMPLETED
        await acme.files.CreateFile(upload)
        server.admission.count_anew()
        assert _quota(await refused(acme.send(run.agent_id, "Hi")))[2:] == ("stored_mb", "tenant:acme")
        assert _quota(await refused(acme.files.CreateFile(upload)))[2:] == ("stored_mb", "tenant:acme")
        (used,) = [
            each.used
            for each in (await acme.ops.GetServerInfo(v1.GetServerInfoRequest())).quotas
            if each.name == "stored_mb"
        ]
        assert 1.1 < used < 1.3, "the file, the message, and the echo of it"
        await zoe.files.CreateFile(upload)
