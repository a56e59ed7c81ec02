"""Callers who are slow, endless or malformed are told so in the words of the door, and hold nothing for long."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import AsyncExitStack

import httpx
import pytest
from structlog.testing import capture_logs

from sendoff_server import app
from sendoff_server.gateway import asked
from sendoff_server.gateway.connection import SPARE_CONNECTIONS
from tests.fixtures.server import ServerProcess
from tests.gateway.door import script
from tests.gateway.raw import PATIENCE_S, another_door, connected, post, until

_HEALTH = b"GET /v1/health/ HTTP/1.1\r\nhost: here\r\n\r\n"


async def test_no_part_of_an_answer_waits_for_the_word_that_the_one_before_has_come(server: app.Server) -> None:
    async with another_door(server) as door, connected(door.address) as caller:
        await caller.say(_HEALTH)
        assert (await caller.answer()).status == 200
        (connection,) = door.connections
        accepted = connection.transport.get_extra_info("socket")  # type: ignore[attr-defined]  # uvicorn's own
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# ---- heads ----


async def test_a_head_that_trickles_in_is_cut(server: app.Server) -> None:
    async with another_door(server, head_s=0.2) as door, connected(door.address) as caller:
        await caller.say("GET /v1/health/ HTTP/1.1\r\nhost: here\r\n")
        answer = await caller.answer()
        assert (answer.status, answer.json["reason"]) == (408, "HEAD_TOO_SLOW")
        assert "retry-after" in answer.headers
        assert await caller.end() == b""


@pytest.mark.parametrize("said", [b"", b"\r\n\r\n"], ids=["nothing", "empty lines"])
async def test_a_connection_that_asks_nothing_is_cut(server: app.Server, said: bytes) -> None:
    async with another_door(server, head_s=0.2) as door, connected(door.address) as caller:
        await caller.say(said)
        assert await caller.end() == b""


async def test_a_second_head_on_the_same_connection_has_its_time_too(server: app.Server) -> None:
    async with another_door(server, head_s=0.2) as door, connected(door.address) as caller:
        await caller.say(_HEALTH)
        assert (await caller.answer()).status == 200
        await caller.say("GET /v1/hea")
        assert (await caller.answer()).status == 408


@pytest.mark.parametrize("in_one_piece", [True, False])
@pytest.mark.parametrize("where", ["query", "header", "endless header"])
async def test_a_head_that_is_too_large_is_refused(server: app.Server, where: str, in_one_piece: bool) -> None:
    long = "x" * 5_000
    head = {
        "query": f"GET /v1/runs/?agent_id={long} HTTP/1.1\r\n\r\n",
        "header": f"GET /v1/health/ HTTP/1.1\r\nx-long: {long}\r\n\r\n",
        "endless header": f"GET /v1/health/ HTTP/1.1\r\nx-long: {long * 200}",
    }[where]
    async with another_door(server, head_bytes=4_096, head_s=PATIENCE_S) as door, connected(door.address) as caller:
        pieces = [head] if in_one_piece else [head[at : at + 1_500] for at in range(0, len(head), 1_500)]
        for piece in pieces[:20]:
            await caller.say(piece)
        answer = await caller.answer()
        assert (answer.status, answer.json["reason"]) == (431, "HEAD_TOO_LARGE")
        assert answer.headers["x-should-retry"] == "false"


async def test_what_is_no_http_is_refused_like_everything_else(server: app.Server) -> None:
    nonsense = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
    nonsense += [b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n", b"POST / HTTP/1.1\r\ncontent-length: -4\r\n\r\n"]
    nonsense += [b"GET / HTTP/1.1\r\nbad header: x\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n"]
    async with another_door(server) as door:
        for said in nonsense:
            async with connected(door.address) as caller:
                await caller.say(said)
                answer = await caller.answer()
                assert (answer.status, answer.json["reason"]) == (400, "MALFORMED_HTTP"), said
                assert await caller.end() == b""


async def test_requests_in_a_row_are_answered_in_order(server: app.Server) -> None:
    async with another_door(server) as door, connected(door.address) as caller:
        created = post("/v1/agents/", b'{"model": "scripted/echo"}')
        await caller.say(_HEALTH + b"GET /v1/nothing HTTP/1.1\r\nhost: here\r\n\r\n" + created)
        assert [(await caller.answer()).status for _ in range(3)] == [200, 404, 200]


async def test_nonsense_behind_a_request_spoils_no_answer(server: app.Server) -> None:
    """What is told is one answer and then nothing, or a refusal, never one within the other."""
    async with another_door(server) as door, connected(door.address) as caller:
        await caller.say(_HEALTH + b"\x00\x01nonsense\r\n\r\n")
        assert (await caller.end()).count(b"HTTP/1.1 ") <= 1


async def test_a_connection_that_is_kept_is_closed_after_a_while(server: app.Server) -> None:
    async with another_door(server) as door, connected(door.address) as caller:
        await caller.say(_HEALTH)
        answer = await caller.answer()
        assert "connection" not in answer.headers
        assert door.keep_alive_s == 75


# ---- bodies ----


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_that_is_too_large_is_refused_and_not_kept(server: app.Server, chunked: bool) -> None:
    """The caller has sent a hundred times what is accepted before he looks at the answer."""
    piece = b"x" * 65_536
    async with another_door(server, max_body_bytes=65_536) as door, connected(door.address) as caller:
        head = "transfer-encoding: chunked" if chunked else f"content-length: {100 * len(piece)}"
        await caller.say(f"POST /v1/agents/ HTTP/1.1\r\nhost: here\r\n{head}\r\n\r\n")
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(100):
                await caller.say(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        await caller.say(b"0\r\n\r\n" if chunked else b"")
        answer = await caller.answer()
        assert (answer.status, answer.json["reason"]) == (413, "REQUEST_TOO_LARGE")
        await caller.say(_HEALTH)
        assert (await caller.answer()).status == 200


async def test_a_refused_body_without_an_end_is_cut(server: app.Server) -> None:
    async with another_door(server, max_body_bytes=1_024, head_s=0.3) as door, connected(door.address) as caller:
        await caller.say("POST /v1/agents/ HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n")
        await caller.say(b"1000\r\n" + b"x" * 4_096 + b"\r\n")
        assert (await caller.answer()).status == 413
        await caller.say(b"1000\r\n")
        assert await caller.end() == b""


async def test_a_body_that_does_not_come_is_told_so(server: app.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "BODY_TIMEOUT_S", 0.2)
    async with another_door(server) as door, connected(door.address) as caller:
        await caller.say("POST /v1/agents/ HTTP/1.1\r\nhost: here\r\ncontent-length: 10\r\n\r\n{")
        answer = await caller.answer()
        assert (answer.status, answer.json["reason"]) == (408, "BODY_TOO_SLOW")
        assert answer.headers["retry-after"] == "1"


async def test_bodies_on_their_way_take_no_more_memory_than_there_is_for_them(server: app.Server) -> None:
    most = 10_000
    async with another_door(server, max_body_bytes=most) as door, AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(connected(door.address)) for _ in range(9)]
        for caller in callers:
            await caller.say(
                post("/v1/agents/", b'{"model": "scripted/echo", "system": "' + b"x" * (most - 60) + b'"}')[:-1]
            )
        async with asyncio.timeout(PATIENCE_S):
            answers = [asyncio.create_task(caller.answer()) for caller in callers]
            done, held = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        (refused,) = [task.result() for task in done]
        assert (refused.status, refused.json["reason"]) == (503, "TOO_MANY_BODIES")
        assert int(refused.headers["retry-after"]) > 0
        for caller, task in zip(callers, answers, strict=True):
            if task in held:
                await caller.say(b"}")
        assert {(await task).status for task in held} == {200}
        await callers[0].say(post("/v1/agents/", b'{"model": "scripted/echo"}'))
        assert (await callers[0].answer()).status == 200, "what was taken is given back"


async def test_a_request_cut_half_way_does_nothing_and_is_no_failure(server: app.Server) -> None:
    with capture_logs() as logged:
        async with another_door(server) as door:
            async with connected(door.address) as caller:
                whole = post("/v1/agents/", b'{"name": "half"}')
                await caller.say(whole[:-4])
            async with httpx.AsyncClient(base_url=f"http://{door.address}") as http:
                assert (await http.get("/v1/agents/")).json() == []
    assert sorted(line["status"] for line in logged if line["event"] == "request") == [200, 499]
    assert [line for line in logged if line["log_level"] == "error"] == []


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe{}",
        b'{"name": "\xc3\x28"}',
        b'{"name": "\\ud800"}',
        b'{"name": NaN}',
        b'{"name": 1' + b"0" * 10_000 + b"}",
        b'{"metadata": {"x": 1e999}}',
        b'{"metadata": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
        b'{"metadata": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}",
        b"[" * 60_000,
        b'{"name": "x"',
        b"[]",
        b'"x"',
    ],
    ids=lambda body: body[:24].decode("latin-1"),
)
async def test_bodies_of_nonsense_are_refused_with_words(server: app.Server, body: bytes) -> None:
    async with another_door(server) as door, connected(door.address) as caller:
        await caller.say(post("/v1/agents/", body))
        answer = await caller.answer()
        assert 400 <= answer.status < 500, answer
        assert answer.json["detail"]


# ---- readers ----


async def test_an_answer_that_nobody_reads_is_cut(server: app.Server) -> None:
    async with another_door(server, unread_s=0.3) as door:
        async with httpx.AsyncClient(base_url=f"http://{door.address}") as http:
            for number in range(20):
                agent = {"name": str(number), "model": "scripted/echo", "system": "x" * 50_000}
                (await http.post("/v1/agents/", json=agent)).raise_for_status()
        async with connected(door.address, most_held_bytes=1) as caller:
            for _ in range(20):
                await caller.say(b"GET /v1/agents/ HTTP/1.1\r\nhost: here\r\n\r\n")
            await until(lambda: not door.connections)


# ---- many ----


async def test_who_comes_when_there_is_no_room_is_told_to_come_back(server: app.Server) -> None:
    async with another_door(server, connections=2) as door:
        async with connected(door.address) as first, connected(door.address) as second:
            for caller in (first, second):
                await caller.say(_HEALTH)
                assert (await caller.answer()).status == 200
            async with connected(door.address) as third:
                await third.say(_HEALTH)
                answer = await third.answer()
                assert (answer.status, answer.json["reason"]) == (503, "TOO_MANY_CONNECTIONS")
                assert int(answer.headers["retry-after"]) > 0
            await first.say(_HEALTH)
            assert (await first.answer()).status == 200, "who was here before is served on"
        await until(lambda: not door.connections)
        async with connected(door.address) as later:
            await later.say(_HEALTH)
            assert (await later.answer()).status == 200


async def test_beyond_that_nobody_is_listened_to(server: app.Server) -> None:
    async with another_door(server, connections=1) as door:
        opened = [await asyncio.open_connection(*door.address.split(":")) for _ in range(1 + SPARE_CONNECTIONS + 8)]
        await until(lambda: len(door.connections) <= 1 + SPARE_CONNECTIONS)
        async with asyncio.timeout(PATIENCE_S):
            assert await opened[-1][0].read() == b""
        for _, writer in opened:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for _, writer in opened), return_exceptions=True)


# ---- a process, on the loop that servers have ----


async def test_nothing_that_callers_do_is_a_failure_of_the_server(server_process: ServerProcess) -> None:
    server_process.http_address = "127.0.0.1:0"
    await server_process.start()
    address = server_process.http_address
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=PATIENCE_S) as http:
        agent_id = (await http.post("/v1/agents/", json={"model": "scripted/script"})).json()["id"]
        hanging = json.dumps({"input": script(text="x", hang=True)}).encode()
        stream = post(f"/v1/agents/{agent_id}/messages/stream", hanging)
        for said in (
            *(post(f"/v1/agents/{agent_id}/{call}", hanging) for call in ("messages", "messages/stream")),
            _HEALTH * 200,
            stream + _HEALTH * 50,
            stream[:-20],
            stream + b"nonsense\r\n\r\n",
            b"nonsense\r\n\r\n" * 1_000,
            b"GET /v1/health/ HTTP/1.1\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n\r\n",
        ):
            for reset in (False, True):
                async with connected(address) as caller:
                    await caller.say(said)
                    await http.get("/v1/health/")
                    if reset:
                        caller.writer.transport.abort()
        assert (await http.get("/v1/health/")).status_code == 200
    assert await server_process.stop() == 0
    assert [line for line in server_process.log if '"error"' in line or "Traceback" in line] == []
