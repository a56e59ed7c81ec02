"""Python tools: source code that callers have put, run in a process of its own per call.

A caller who may put such a tool may run any program as this server's user, as far as `confinement.py` reaches: an
operator has to allow it. What a tool is for the model, its schema and description, is found out in such a process too:
source code of callers is never executed, nor even parsed, in the server's own.
"""

from __future__ import annotations

import asyncio
import json
import math
import signal
from collections.abc import Mapping
from typing import Any

import structlog

from sendoff import v1
from sendoff_server.tools.port import Described, Sources, ToolCall, ToolResult, Tools, Unfit, text_result
from sendoff_server.tools.python.confinement import Confinement, installed
from sendoff_server.tools.python.process import Ended, run
from sendoff_server.tools.python.worker import MAX_CHARACTERS

DESCRIBE_TIMEOUT_S = 8.0
_DESCRIBED_AT_ONCE = 2
_MAX_CPU_S = 3_600
"""Of processor time; the caller cancels calls long before."""
_DESCRIBE_BYTES = 1024 * 1024 * 1024
_CRASH = "the tool's process ended before it returned"
_TRIAL = "def trial() -> str:\n    return 'works'\n"

_log = structlog.get_logger(__name__)


class PythonToolsUnavailable(Exception):
    """Python tools are allowed, and cannot run here."""


class PythonTools(Tools, Sources):
    """Runs Python tools."""

    def __init__(self, confinement: Confinement, *, memory_bytes: int, at_once: int) -> None:
        """`memory_bytes` is the address space of each process; more than `at_once` calls wait."""
        self._confinement = confinement
        self._memory_bytes = memory_bytes
        self._calls = asyncio.Semaphore(at_once)
        self._descriptions = asyncio.Semaphore(_DESCRIBED_AT_ONCE)

    @property
    def is_confined(self) -> bool:
        """Whether tools are kept from the network and from the server's files."""
        return self._confinement.bwrap is not None

    async def call(self, call: ToolCall) -> ToolResult:
        order = {
            "act": "call",
            "name": call.tool.name,
            "source": call.tool.source_code,
            "arguments": dict(call.arguments),
            "environment": dict(call.environment),
        }
        cpu_s = math.ceil(call.tool.timeout.ToTimedelta().total_seconds()) or _MAX_CPU_S
        try:
            async with self._calls:
                ended = await self._run(order, self._memory_bytes, min(cpu_s, _MAX_CPU_S), call.key)
        except OSError as error:
            return text_result(f"the tool could not be started: {error.strerror}", is_error=True)
        return _result(ended)

    async def describe(self, name: str, source_code: str) -> Described:
        order = {"act": "describe", "name": name, "source": source_code}
        memory = max(self._memory_bytes, _DESCRIBE_BYTES)
        try:
            async with self._descriptions, asyncio.timeout(DESCRIBE_TIMEOUT_S):
                ended = await self._run(order, memory, math.ceil(DESCRIBE_TIMEOUT_S), "")
        except TimeoutError:
            raise Unfit(f"its module takes longer than {DESCRIBE_TIMEOUT_S:.0f} s to load") from None
        except OSError as error:
            raise Unfit(f"it could not be tried: {error.strerror}") from None
        answer = _answer(ended, "schema")
        if "error" in answer:
            raise Unfit(_clean(answer["error"]))
        schema = answer["schema"]
        text = "" if schema is None else json.dumps(schema, ensure_ascii=False)
        told = {member: _clean(answer.get(member, "")) for member in ("name", "description", "misfit")}
        return Described(**told, json_schema=_clean(text))

    async def _run(self, order: Mapping[str, Any], memory_bytes: int, cpu_s: int, key: str) -> Ended:
        limits = self._confinement.limits(memory_bytes, cpu_s)
        return await run(self._confinement, order, limits=limits, key=key)


async def python_tools(*, memory_bytes: int, at_once: int) -> PythonTools:
    """Python tools, confined if a trial shows that this works; the log tells. Raises PythonToolsUnavailable."""
    confinement = installed()
    tools = PythonTools(confinement, memory_bytes=memory_bytes, at_once=at_once)
    trouble = "bubblewrap is not installed" if confinement.bwrap is None else await _trouble(tools)
    if trouble is None:
        _log.info("python tools are allowed, and confined by bubblewrap", bwrap=confinement.bwrap)
        return tools
    tools = PythonTools(Confinement(None), memory_bytes=memory_bytes, at_once=at_once)
    if unconfined_trouble := await _trouble(tools):
        raise PythonToolsUnavailable(f"Python tools are allowed, and cannot run here: {unconfined_trouble}")
    _log.warning(
        "python tools are allowed and NOT CONFINED: they can read and write what the server can, and use its network",
        why=trouble,
        do="install bubblewrap 0.7 or newer, or set SENDOFF_PYTHON_TOOLS=false",
    )
    return tools


async def _trouble(tools: PythonTools) -> str | None:
    """What goes wrong with the simplest of tools; None if it works."""
    tool = v1.Tool(name="trial", type=v1.TOOL_TYPE_PYTHON, source_code=_TRIAL)
    call = ToolCall(
        tenant="", agent_id="", lane="", run_id="", tool=tool, call_id="", arguments={}, key="trial", position=0
    )
    try:
        async with asyncio.timeout(DESCRIBE_TIMEOUT_S):
            result = await tools.call(call)
    except TimeoutError:
        return f"it did not start within {DESCRIBE_TIMEOUT_S:.0f} s"
    if not result.is_error:
        return None
    return " ".join([result.content.text, *(result.stderr or [])[-3:]])


def _answer(ended: Ended, wanted: str) -> Mapping[str, Any]:
    """What the worker answered: something `wanted`, or an "error", also if it did not get to that. It is the tool's own
    code that runs there, so nothing else is certain of it."""
    try:
        answer = json.loads(bytes(ended.answer.kept))
    except (ValueError, RecursionError):
        return {"error": _crash(ended.code)}
    return answer if isinstance(answer, dict) and ("error" in answer or wanted in answer) else {"error": _CRASH}


def _clean(told: object) -> str:
    """As text that can be kept."""
    return str(told)[:MAX_CHARACTERS].encode(errors="replace").decode()


def _crash(code: int) -> str:
    if code <= 128:
        return f"{_CRASH}, with exit code {code}"
    name = signal.Signals(code - 128).name if code - 128 in set(signal.Signals) else f"signal {code - 128}"
    if name == "SIGXCPU":
        return f"{_CRASH}: it used up its processor time"
    return f"{_CRASH}: it was killed by {name}"


def _result(ended: Ended) -> ToolResult:
    answer = _answer(ended, "text")
    is_error = "error" in answer
    shown = text_result(_clean(answer["error"] if is_error else answer["text"]), is_error=is_error)
    return ToolResult(
        content=shown.content, is_error=is_error, stdout=ended.stdout.lines(), stderr=ended.stderr.lines()
    )
