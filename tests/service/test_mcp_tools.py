"""Runs whose agents call tools of real MCP servers: processes, and HTTP on the loopback address."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import psutil
import pytest

from sendoff import v1
from sendoff_server.tools.mcp import link
from tests.faults.caller import Caller, calling
from tests.faults.gated import hold_calls
from tests.fixtures.mcp_servers import HttpProcess, misbehaving
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve, ServerProcess
from tests.service.answering import ASKS, DONE, approve, end, respond, returns
from tests.service.tool_runs import (
    agent_with,
    call,
    calls,
    last_return_shown,
    listed,
    run_of,
    script_of,
    show_all,
    starts,
    until_called,
)

TIME = {"command": sys.executable, "args": ["-m", "mcp_server_time"]}

Entries = Mapping[str, Mapping[str, object]]
Furnished = Callable[[Entries], AbstractAsyncContextManager[Caller]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    return hold_calls(monkeypatch, show_all())


@pytest.fixture
def furnished(serve: Serve, shown: HeldCalls, tmp_path: Path) -> Furnished:
    """A caller of a server with these MCP servers: `async with furnished({...}) as caller`."""

    @asynccontextmanager
    async def calling_one(entries: Entries) -> AsyncIterator[Caller]:
        async with serve(mcp_servers_file=_file(tmp_path, entries)) as server, calling(server.grpc.address) as caller:
            yield caller

    return calling_one


@pytest.fixture
async def web() -> AsyncIterator[HttpProcess]:
    process = HttpProcess()
    await process.start()
    yield process
    await process.kill()


def _file(folder: Path, entries: Entries) -> str:
    file = folder / "mcp.json"
    file.write_text(json.dumps({"mcpServers": entries}))
    return str(file)


# ---- found, named, called, shown ----


async def test_a_tool_of_a_real_program_is_found_named_called_and_its_result_shown(
    furnished: Furnished, shown: HeldCalls
) -> None:
    async with furnished({"time": TIME}) as caller:
        agent = await agent_with(caller, "time_convert_time")
        asked = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}
        run = await run_of(caller, agent, calls("time_convert_time", **asked), {"text": "It is nine."})
        ((text, is_error),) = await returns(caller, run)

    assert end(run) == DONE
    assert not is_error
    assert json.loads(text)["time_difference"] == "+9.0h"
    assert await last_return_shown(shown, 2) == text


async def test_a_tool_over_http_is_found_named_called_and_its_result_shown(
    furnished: Furnished, shown: HeldCalls, web: HttpProcess
) -> None:
    async with furnished({"web": {"url": web.url}}) as caller:
        run = await run_of(caller, await agent_with(caller, "web_add"), calls("web_add", a=2, b=3), {"text": "Five."})
        assert await returns(caller, run) == [("5", False)]

    assert end(run) == DONE
    assert await last_return_shown(shown, 2) == "5"


async def test_tools_of_two_servers_are_called_by_one_answer(furnished: Furnished, web: HttpProcess) -> None:
    async with furnished({"web": {"url": web.url}, "odd": misbehaving()}) as caller:
        agent = await agent_with(caller, "odd_echo", "web_add")
        both = [call("odd_echo", text="hi"), call("web_add", a=1, b=1)]
        run = await run_of(caller, agent, {"tool_calls": both})
        assert await returns(caller, run) == [("hi", False), ("2", False)]


async def test_a_tool_that_the_agent_does_not_name_is_not_called(furnished: Furnished) -> None:
    async with furnished({"odd": misbehaving()}) as caller:
        run = await run_of(caller, await agent_with(caller, "odd_echo"), calls("odd_pid"))
        ((text, is_error),) = await returns(caller, run)

    assert is_error
    assert text.startswith("[ToolConstraintError] odd_pid")


# ---- going wrong ----


@pytest.mark.parametrize(
    ("tool", "told"),
    [
        ("odd_fail", "the disk is full"),
        ("odd_refuse", "The MCP server 'odd' answered with an error: no such thing"),
        ("odd_hang", "within 1 s"),
        ("odd_crash", "The MCP server 'odd' was lost while it was called"),
        ("odd_huge", "larger than 4194304 bytes"),
    ],
)
async def test_whatever_goes_wrong_in_a_program_is_told_to_the_model_and_the_next_call_works(
    furnished: Furnished, shown: HeldCalls, tool: str, told: str
) -> None:
    async with furnished({"odd": misbehaving(timeout_s=1 if tool == "odd_hang" else 30)}) as caller:
        agent = await agent_with(caller, tool, "odd_echo")
        run = await run_of(caller, agent, calls(tool), calls("odd_echo", text="well again"))
        (wrong, well) = await returns(caller, run)

    assert end(run) == DONE
    assert wrong[1]
    assert told in wrong[0]
    assert len(wrong[0]) < 1_000
    assert well == ("well again", False)
    assert await last_return_shown(shown, 2) == wrong[0]


@pytest.mark.parametrize(
    ("tool", "told"),
    [
        ("web_fail", "the disk is full"),
        ("web_hang", "within 1 s"),
        ("web_huge", "larger than 4194304 bytes"),
    ],
)
async def test_whatever_goes_wrong_over_http_is_told_to_the_model_and_the_next_call_works(
    furnished: Furnished, web: HttpProcess, tool: str, told: str
) -> None:
    async with furnished({"web": {"url": web.url, "timeout_s": 1 if tool == "web_hang" else 30}}) as caller:
        agent = await agent_with(caller, "web_add", tool)
        run = await run_of(caller, agent, calls(tool), calls("web_add", a=1, b=1))
        (wrong, well) = await returns(caller, run)

    assert end(run) == DONE
    assert wrong[1]
    assert told in wrong[0]
    assert well == ("2", False)


async def test_a_run_that_is_cancelled_in_a_call_ends_at_once_and_leaves_a_return(furnished: Furnished) -> None:
    async with furnished({"odd": misbehaving()}) as caller:
        agent = await agent_with(caller, "odd_hang", "odd_cancelled")
        run = await caller.send(agent, script_of([calls("odd_hang")]))
        await until_called(caller, run)
        await caller.cancel(run.id)
        run = await caller.ended(run.id)
        ((_, is_error),) = await returns(caller, run)
        told = await run_of(caller, agent, calls("odd_cancelled"))
        ((cancelled, _),) = await returns(caller, told)

    assert run.status == v1.RUN_STATUS_CANCELLED
    assert is_error
    assert len(json.loads(cancelled)) == 1, "its server was told"


# ---- away and back ----


async def test_a_program_that_ended_between_two_runs_is_started_again(furnished: Furnished) -> None:
    async with furnished({"odd": misbehaving()}) as caller:
        agent = await agent_with(caller, "odd_pid")
        ((first, _),) = await returns(caller, await run_of(caller, agent, calls("odd_pid")))
        psutil.Process(int(first)).kill()
        ((second, is_error),) = await returns(caller, await run_of(caller, agent, calls("odd_pid")))

    assert not is_error
    assert second != first


async def test_a_server_that_is_away_is_listed_as_silent_its_calls_fail_and_it_comes_back(
    furnished: Furnished, web: HttpProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "FIRST_PAUSE_S", 0.0)
    sum_ = calls("web_add", a=1, b=1)
    async with furnished({"web": {"url": web.url}}) as caller:
        agent = await agent_with(caller, "web_add")
        assert await returns(caller, await run_of(caller, agent, sum_)) == [("2", False)]
        await web.kill()
        away = await run_of(caller, agent, sum_)
        ((text, is_error),) = await returns(caller, away)
        page = await listed(caller, "web_add")
        await web.start()
        assert await returns(caller, await run_of(caller, agent, sum_)) == [("2", False)]

    assert end(away) == DONE
    assert is_error
    assert "The MCP server 'web' cannot be called" in text
    assert [tool.name for tool in page.tools] == ["web_add"]
    assert list(page.silent_mcp_servers) == ["web"]


async def test_agents_have_the_tools_of_a_server_that_does_not_answer_after_a_restart(
    furnished: Furnished, web: HttpProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "FIRST_PAUSE_S", 0.0)
    async with furnished({"web": {"url": web.url}}) as caller:
        agent = await agent_with(caller, "web_add")
    await web.kill()
    async with furnished({"web": {"url": web.url}}) as caller:
        ((text, is_error),) = await returns(caller, await run_of(caller, agent, calls("web_add", a=1, b=1)))
        assert ("cannot be called" in text, is_error) == (True, True)
        await web.start()
        assert await returns(caller, await run_of(caller, agent, calls("web_add", a=1, b=1))) == [("2", False)]


# ---- what the operator says of them ----


async def test_a_call_waits_for_the_approval_that_the_file_asks_for(furnished: Furnished) -> None:
    async with furnished({"odd": misbehaving(requires_approval=["echo"])}) as caller:
        agent = await agent_with(caller, "odd_echo", "odd_pid")
        asking = await run_of(
            caller,
            agent,
            calls("odd_pid"),
            calls("odd_echo", text="may I?"),
            {"text": "thanks"},
        )
        assert end(asking) == ASKS
        ((_, is_error),) = await returns(caller, asking)
        assert not is_error, "the other tool asks nobody"
        (action,) = asking.pending_actions
        assert (action.kind, action.call.name) == (v1.ACTION_KIND_APPROVAL, "odd_echo")
        run = await caller.ended((await respond(caller, agent, approve(asking))).run.id)
        assert await returns(caller, run) == [("may I?", False)]

    assert end(run) == DONE


async def test_the_effect_of_a_tool_is_what_the_file_says_else_its_server_else_once(furnished: Furnished) -> None:
    odd = misbehaving(effects={"fail": "READ_ONLY", "echo": "ONCE"}, tools=["echo", "fail", "key", "pid"])
    async with furnished({"odd": odd}) as caller:
        names = ("odd_echo", "odd_fail", "odd_key", "odd_pid")
        agent = await agent_with(caller, *names)
        asked = [call("odd_echo", text="x"), call("odd_fail"), call("odd_key"), call("odd_pid")]
        run = await run_of(caller, agent, {"tool_calls": asked})
        started = await starts(caller, run)
        key = (await returns(caller, run))[2][0]
        assert [tool.name for tool in (await listed(caller)).tools if tool.type == v1.TOOL_TYPE_MCP] == list(names)

    assert {each.name: each.effect for each in started} == {
        "odd_echo": v1.TOOL_EFFECT_ONCE,
        "odd_fail": v1.TOOL_EFFECT_READ_ONLY,
        "odd_key": v1.TOOL_EFFECT_IDEMPOTENT,
        "odd_pid": v1.TOOL_EFFECT_ONCE,
    }
    assert json.loads(key), "an idempotent call has a key"


@pytest.mark.parametrize("effect", ["READ_ONLY", "ONCE"])
async def test_a_call_that_was_under_way_in_a_crash_is_made_again_only_if_that_is_safe(
    server_process: ServerProcess, tmp_path: Path, effect: str
) -> None:
    file = _file(tmp_path, {"odd": misbehaving(effects={"hang": effect})})
    await server_process.start("--mcp-servers-file", file)
    async with calling(server_process.address) as caller:
        agent = await agent_with(caller, "odd_hang")
        run = await caller.send(agent, script_of([calls("odd_hang")]))
        await until_called(caller, run)
    await server_process.kill()
    await server_process.start("--mcp-servers-file", file)
    async with calling(server_process.address) as caller:
        if effect == "READ_ONLY":
            async with asyncio.timeout(30):
                await until_called(caller, run, times=2)
            await caller.cancel(run.id)
        run = await caller.ended(run.id)
        started = await starts(caller, run)

    if effect == "READ_ONLY":
        assert [each.attempt for each in started] == [1, 2]
    else:
        assert [each.attempt for each in started] == [1]
        assert run.stop_reason == v1.STOP_REASON_TOOL_OUTCOME_UNKNOWN
        assert [action.kind for action in run.pending_actions] == [v1.ACTION_KIND_RESOLVE_UNKNOWN_OUTCOME]
