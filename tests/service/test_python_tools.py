"""Runs whose agents call tools written in Python, each call in a process of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sendoff import v1
from tests.faults.caller import PATIENCE_S, Caller, calling, seconds
from tests.faults.gated import hold_calls
from tests.fixtures.scripted_gate import HeldCalls
from tests.fixtures.server import Serve
from tests.service.answering import ASKS, DONE, approve, end, respond, returns
from tests.service.tool_runs import agent_with, call, calls, last_return_shown, run_of, show_all

ADD = '''
def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}
'''
HANG = "def hang():\n    while True: pass"
CRASH = "import os\ndef crash():\n    os._exit(3)"
FAIL = "def fail(path: str):\n    raise OSError('there is no ' + path)"
HUGE = "def huge():\n    return 'x' * 10_000_000"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> HeldCalls:
    return hold_calls(monkeypatch, show_all())


@pytest.fixture
async def caller(serve: Serve, shown: HeldCalls) -> AsyncIterator[Caller]:
    """A caller of a server whose operator allows Python tools."""
    async with serve(python_tools=True) as server, calling(server.grpc.address) as connected:
        yield connected


async def put(caller: Caller, source: str, **fields: object) -> None:
    """Put a tool that is called as the only function of its source code."""
    name = source.partition("def ")[2].partition("(")[0]
    tool = v1.Tool(name=name, type=v1.TOOL_TYPE_PYTHON, source_code=source, **fields)  # type: ignore[arg-type]
    await caller.tools.UpsertTool(v1.UpsertToolRequest(tool=tool), timeout=PATIENCE_S)


async def test_a_tool_is_put_found_named_called_and_its_result_shown(caller: Caller, shown: HeldCalls) -> None:
    await put(caller, ADD)
    run = await run_of(caller, await agent_with(caller, "add"), calls("add", a=2, b=3), {"text": "Five."})
    assert end(run) == DONE
    assert await returns(caller, run) == [('{"sum": 5}', False)]
    assert await last_return_shown(shown, 2) == '{"sum": 5}'


async def test_whatever_tools_do_is_told_to_the_model_and_the_run_goes_on(caller: Caller) -> None:
    for source in (ADD, CRASH, FAIL, HUGE):
        await put(caller, source)
    agent = await agent_with(caller, "add", "crash", "fail", "huge")
    bad = [call("crash"), call("fail", path="paper"), call("huge"), call("add", a="two", b=3)]
    run = await run_of(caller, agent, {"tool_calls": bad}, calls("add", a=1, b=1))
    crash, fail, huge, unfit, well = await returns(caller, run)
    assert end(run) == DONE
    assert [is_error for _, is_error in (crash, fail, unfit)] == [True] * 3
    assert "3" in crash[0]
    assert "there is no paper" in fail[0]
    assert len(huge[0]) < 100_000
    assert unfit[0].startswith("[InvalidArguments]")
    assert well == ('{"sum": 2}', False)


async def test_a_tool_that_hangs_is_ended_after_its_time(caller: Caller) -> None:
    await put(caller, HANG, timeout=seconds(0.5))
    run = await run_of(caller, await agent_with(caller, "hang"), calls("hang"), {"text": "Too slow."})
    ((text, is_error),) = await returns(caller, run)
    assert end(run) == DONE
    assert is_error
    assert "within 0.5 s" in text


async def test_a_call_waits_for_its_approval_and_runs_with_the_arguments_that_it_brings(caller: Caller) -> None:
    await put(caller, ADD, requires_approval=True)
    agent = await agent_with(caller, "add")
    asking = await run_of(caller, agent, calls("add", a=2, b=3))
    assert end(asking) == ASKS
    assert await returns(caller, asking) == []
    edited = approve(asking, edited_arguments=v1.JsonObject(json='{"a": 20, "b": 3}'))
    run = await caller.ended((await respond(caller, agent, edited)).run.id)
    assert end(run) == DONE
    assert await returns(caller, run) == [('{"sum": 23}', False)]
