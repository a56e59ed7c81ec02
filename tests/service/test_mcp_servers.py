"""Tools of real MCP servers: processes that behave and that do not, and HTTP on the loopback address."""

from __future__ import annotations

import asyncio
import sys
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from sendoff import v1
from sendoff_server.tools.mcp.link import LONGEST_PAUSE_S
from sendoff_server.tools.mcp.servers import McpServers
from tests.fixtures.clock import ManualClock
from tests.fixtures.mcp_servers import (
    TIMEOUT_S,
    HttpProcess,
    Listened,
    calling,
    fault,
    json_of,
    misbehaving,
    running,
    told,
    tool_named,
)

ROOT = Path(__file__).parents[2]
MEGABYTE = 1_000_000
TIME = {"command": sys.executable, "args": ["-m", "mcp_server_time"]}


@pytest.fixture
async def odd() -> AsyncIterator[McpServers]:
    """A misbehaving server, as `odd`."""
    async with running({"odd": misbehaving()}) as servers:
        yield servers


@pytest.fixture
async def http() -> AsyncIterator[HttpProcess]:
    process = HttpProcess()
    await process.start()
    yield process
    await process.kill()


async def gone(pid: int) -> None:
    """Wait until there is no such process any more."""
    async with asyncio.timeout(TIMEOUT_S):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # not our child: nothing tells of its end


async def test_a_real_server_on_standard_input_and_output_is_listed_and_called() -> None:
    async with running({"time": TIME}) as servers:
        listed = await servers.tools()
        answer = json_of(await told(servers, "time_get_current_time", timezone="Europe/Vienna"))

    assert listed.silent == []
    assert [tool.name for tool in listed.tools] == ["time_get_current_time", "time_convert_time"]
    assert {v1.ToolEffect.Name(tool.effect) for tool in listed.tools} == {"TOOL_EFFECT_READ_ONLY"}
    assert answer["timezone"] == "Europe/Vienna"


async def test_what_a_tool_says_of_its_failure_reaches_the_model(odd: McpServers) -> None:
    assert await fault(odd, "odd_fail") == "the disk is full"
    assert await fault(odd, "odd_refuse") == "The MCP server 'odd' answered with an error: no such thing"


async def test_a_call_that_hangs_is_cancelled_at_the_server_and_the_session_goes_on(odd: McpServers) -> None:
    before = await told(odd, "odd_pid")

    assert "did not answer within 0.05 s" in await fault(odd, "odd_hang", timeout_s=0.05)

    assert len(json_of(await told(odd, "odd_cancelled"))) == 1
    assert await told(odd, "odd_pid") == before


async def test_a_caller_that_is_cancelled_leaves_the_session_to_the_others(odd: McpServers) -> None:
    hang = calling(await tool_named(odd, "odd_hang"))
    before = await told(odd, "odd_pid")
    calls = [asyncio.create_task(odd.call(hang)) for _ in range(3)]
    assert await told(odd, "odd_echo", text="between") == "between"

    for call in calls:
        call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 3
    assert len(json_of(await told(odd, "odd_cancelled"))) == 3
    assert await told(odd, "odd_pid") == before


async def test_a_server_that_crashes_in_a_call_is_started_again_for_the_next(odd: McpServers) -> None:
    first = await told(odd, "odd_pid")

    assert "Whether the call took effect is not known" in await fault(odd, "odd_crash")

    assert await told(odd, "odd_pid") != first
    assert (await odd.tools()).silent == []


async def test_all_calls_under_way_at_a_server_that_crashes_fail_and_nothing_blocks(odd: McpServers) -> None:
    hang = calling(await tool_named(odd, "odd_hang"))
    calls = [asyncio.create_task(odd.call(hang)) for _ in range(3)]
    await told(odd, "odd_echo", text="they are there")

    await fault(odd, "odd_crash")

    async with asyncio.timeout(TIMEOUT_S):
        assert all(result.is_error for result in await asyncio.gather(*calls))


@pytest.mark.parametrize("size_is_told_by", ["odd_huge", "odd_nameless"])
async def test_ten_megabytes_are_dropped_while_they_come_in(odd: McpServers, size_is_told_by: str) -> None:
    await told(odd, "odd_echo", text="connected")
    tracemalloc.start()
    try:
        told_of_it = await fault(odd, size_is_told_by)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert ("larger than 4194304 bytes" in told_of_it) == (size_is_told_by == "odd_huge")
    assert ("was lost while it was called" in told_of_it) == (size_is_told_by == "odd_nameless")
    assert peak < 8 * MEGABYTE  # the line as far as it is allowed, and what it takes to cut it
    assert await told(odd, "odd_echo", text="and on") == "and on"


async def test_what_a_server_prints_beside_its_messages_does_no_harm(odd: McpServers) -> None:
    assert await told(odd, "odd_print") == "printed"
    assert "not a message" in await fault(odd, "odd_broken")
    assert await told(odd, "odd_echo", text="and on") == "and on"


async def test_half_of_a_surrogate_pair_in_the_arguments_is_refused_and_nothing_else_suffers(odd: McpServers) -> None:
    assert "cannot be sent" in await fault(odd, "odd_echo", text="\ud800")
    assert await told(odd, "odd_echo", text="\U0001f600") == "\U0001f600"


async def test_a_changed_list_is_fetched_and_told_to_the_listener_without_being_asked_for() -> None:
    listened = Listened()
    async with running({"odd": misbehaving()}, listened) as servers:
        await told(servers, "odd_grow")
        await listened.heard("odd", "odd_grown")
        names = [tool.name for tool in (await servers.tools()).tools]

    assert "odd_grown" not in listened.told[0][1]
    assert names[-1] == "odd_grown"


async def test_tools_with_crooked_schemas_are_left_out_and_told_to_the_operator() -> None:
    async with running({"odd": misbehaving("--bad-schema")}) as servers:
        names = {tool.name for tool in (await servers.tools()).tools}
        faults = " ".join(servers.links["odd"].offer.faults)

    assert "odd_echo" in names
    assert "odd_crooked" not in names
    assert "'crooked' is left out: its schema is none" in faults


async def test_a_server_whose_list_is_none_is_silent_and_says_why() -> None:
    async with running({"odd": misbehaving("--no-list"), "time": TIME}) as servers:
        listed = await servers.tools()

        assert listed.silent == ["odd"]
        assert [tool.mcp_server for tool in listed.tools] == ["time", "time"]
        assert "its list of tools is not MCP" in servers.links["odd"].failure


async def test_a_program_that_is_not_there_is_silent_and_its_calls_say_so() -> None:
    async with running({"odd": {"command": "/nowhere/server"}}) as servers:
        assert (await servers.tools()).silent == ["odd"]
        result = await servers.call(calling(v1.Tool(name="odd_echo", mcp_server="odd")))

    assert result.is_error
    assert "No such file" in result.content.text


async def test_a_server_gets_what_is_configured_and_none_of_our_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    entry = misbehaving(env={"TOKEN": "Bearer ${GIVEN}"})

    async with running({"odd": entry}, environment={"GIVEN": "abc"}) as servers:
        environment = json_of(await told(servers, "odd_environment"))

    assert environment["TOKEN"] == "Bearer abc"
    assert "PATH" in environment
    assert environment.keys() <= {
        *("TOKEN", "PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "SHELL", "TERM", "TMPDIR", "USER")
    }


async def test_an_idempotent_call_carries_its_key_and_another_none(odd: McpServers) -> None:
    tool = await tool_named(odd, "odd_key")
    assert tool.effect == v1.TOOL_EFFECT_IDEMPOTENT
    once = v1.Tool.FromString(tool.SerializeToString())
    once.effect = v1.TOOL_EFFECT_ONCE

    first, again, other = [await odd.call(calling(tool, key)) for key in ("key-1", "key-1", "key-2")]

    assert [result.content.text for result in (first, again, other)] == ['"key-1"', '"key-1"', '"key-2"']
    assert (await odd.call(calling(once))).content.text == "null"


async def test_stopping_ends_the_process_and_what_it_has_started() -> None:
    async with running({"odd": misbehaving()}) as servers:
        server, orphan = int(await told(servers, "odd_pid")), int(await told(servers, "odd_orphan"))
        assert psutil.pid_exists(orphan)

    await gone(server)
    await gone(orphan)


async def test_a_server_that_does_not_want_to_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sendoff_server.tools.mcp.stdio._EXIT_S", 0.05)
    async with running({"odd": misbehaving("--stubborn")}) as servers:
        server = int(await told(servers, "odd_pid"))

    await gone(server)


async def test_a_call_at_a_server_that_reads_nothing_any_more_ends_and_so_does_stopping(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sendoff_server.tools.mcp.stdio._EXIT_S", 0.05)
    async with running({"odd": misbehaving()}) as servers:
        echo = await tool_named(servers, "odd_echo")
        assert "did not answer" in await fault(servers, "odd_block", timeout_s=0.05)
        stuffed = v1.Tool.FromString(echo.SerializeToString())
        stuffed.timeout.FromMilliseconds(50)
        assert (await servers.call(calling(stuffed, text="x" * MEGABYTE))).is_error


async def test_over_http_a_server_is_listed_called_and_fails_as_it_says(http: HttpProcess) -> None:
    async with running({"web": {"url": http.url}}) as servers:
        assert await told(servers, "web_add", a=2, b=3) == "5"
        assert "the disk is full" in await fault(servers, "web_fail")
        assert await told(servers, "web_key") == "key-1"
        assert "larger than 4194304 bytes" in await fault(servers, "web_huge")
        assert "did not answer within 0.2 s" in await fault(servers, "web_hang", timeout_s=0.2)
        assert await told(servers, "web_add", a=1, b=1) == "2"


async def test_over_http_plain_json_is_bounded_as_well() -> None:
    process = HttpProcess("--json")
    await process.start()
    try:
        async with running({"web": {"url": process.url}}) as servers:
            assert "larger than 4194304 bytes" in await fault(servers, "web_huge")
            assert await told(servers, "web_add", a=1, b=1) == "2"
    finally:
        await process.kill()


async def test_over_http_headers_are_sent_and_told_to_nobody(http: HttpProcess) -> None:
    entry = {"url": http.url, "headers": {"Authorization": "Bearer ${TOKEN}"}}

    async with running({"web": entry}, environment={"TOKEN": "s3cret-token"}) as servers:
        assert await told(servers, "web_header", header_name="authorization") == "Bearer s3cret-token"
        assert "s3cret" not in repr(servers.links["web"].config)


async def test_over_http_a_server_that_was_started_again_is_found_by_the_next_call(http: HttpProcess) -> None:
    clock = ManualClock()
    async with running({"web": {"url": http.url}}, clock=clock) as servers:
        assert await told(servers, "web_add", a=1, b=1) == "2"
        add = await tool_named(servers, "web_add")
        await http.kill()
        away = await servers.call(calling(add, a=1, b=1))
        await http.start()

        await clock.advance(LONGEST_PAUSE_S)
        assert (await servers.call(calling(add, a=2, b=2))).content.text == "4"

    assert "cannot be called" in away.content.text


async def test_over_http_a_changed_list_is_noticed(http: HttpProcess) -> None:
    listened = Listened()
    async with running({"web": {"url": http.url}}, listened) as servers:
        await told(servers, "web_grow")
        await listened.heard("web", "web_grown")


async def test_a_replica_that_is_killed_leaves_no_server_behind() -> None:
    program = """
import asyncio, sys
from tests.fixtures.clock import ManualClock
from tests.fixtures.mcp_servers import misbehaving, running, told
async def main():
    async with running({"odd": misbehaving()}) as servers:
        print(await told(servers, "odd_pid"), flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    server = 0
    while not server:
        line = (await process.stdout.readline()).strip()
        server = int(line) if line.isdigit() else 0
    assert psutil.pid_exists(server)

    process.kill()
    await process.communicate()

    await gone(server)
