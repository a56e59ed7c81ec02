"""Makes the tool calls of an answer: side by side, each within its time, and each with a return in the end.

Built-in tools work on the agent's own memory, so their calls are made one after the other, in order. Every start is
durable before a tool begins, and every return as soon as its tool has ended, so that after a crash it is known which
calls may be made again. One that may not be, and was under way, is in doubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from sendoff import v1
from sendoff_server import ids
from sendoff_server.body import Done, Live, Work
from sendoff_server.clock import SECOND_NS, Clock
from sendoff_server.loop import returns
from sendoff_server.loop.toolset import Planned
from sendoff_server.meter import UNMETERED_WORK, WorkMeter
from sendoff_server.tools.port import ToolCall, ToolResult, Tools, text_result

AT_ONCE = 32
"""Calls of one answer that are made side by side; more wait for one of them to end."""
ABANDON_AFTER_S = 0.5
"""A tool that does not end when it is told to is not waited for any longer than this."""

_ONCE = frozenset({v1.TOOL_EFFECT_UNSPECIFIED, v1.TOOL_EFFECT_ONCE})

_KINDS = {v1.TOOL_TYPE_BUILT_IN: "built_in", v1.TOOL_TYPE_MCP: "mcp", v1.TOOL_TYPE_PYTHON: "python"}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Calls that are made together."""

    work: Work
    step_id: str
    """Of the answer that asks for them."""
    run_id: str
    """Whose answer that is."""
    position: int
    """Of the entry that makes them."""
    window_tokens: int
    """Of the model that will read the returns."""
    plans: Sequence[Planned]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables that the agent gives its Python tools, as they are kept. Secret."""


@dataclass(slots=True)
class Outcome:
    """What came of them."""

    returns: dict[str, v1.ToolReturn] = field(default_factory=dict)
    """By call id."""
    in_doubt: list[v1.ToolCall] = field(default_factory=list)
    """Calls of which nobody knows what became, and that must not be made again."""


OpenSecrets = Callable[[str, str, Mapping[str, str]], Mapping[str, str]]
"""(tenant, agent_id, secrets as they are kept): the secrets. Raises SecretUnreadable."""


class Callers:
    """Calls tools of all kinds."""

    def __init__(
        self,
        tools: Mapping[v1.ToolType.ValueType, Tools],
        clock: Clock,
        timeout_s: float,
        open_secrets: OpenSecrets,
        meter: WorkMeter = UNMETERED_WORK,
    ) -> None:
        self._open_secrets = open_secrets
        self._meter = meter
        self._tools = tools
        self._clock = clock
        self._timeout_s = timeout_s
        self._abandoned: set[asyncio.Task[ToolResult]] = set()

    async def make(self, batch: Batch, done: Done, live: Live) -> Outcome:
        """Make the calls that are not refused, but those that have been made before. Cancelling ends those that are
        under way."""
        outcome = _known(batch.plans, done)
        dealt_with = {*outcome.returns, *(call.tool_call_id for call in outcome.in_doubt)}
        due = [plan for plan in batch.plans if plan.call.tool_call_id not in dealt_with]
        if due:
            await live.tools_begin(batch.step_id, [_start(plan, done) for plan in due])
            await self._make_all(batch, due, outcome, live)
        return outcome

    async def _make_all(self, batch: Batch, due: Sequence[Planned], outcome: Outcome, live: Live) -> None:
        slots = asyncio.Semaphore(AT_ONCE)
        in_order = [plan for plan in due if _goes_in_order(_tool(plan))]
        lines = [[plan] for plan in due if not _goes_in_order(_tool(plan))]
        ended: asyncio.Queue[v1.ToolCallFinished] = asyncio.Queue()

        async def work_off(line: Sequence[Planned]) -> None:
            for plan in line:
                async with slots:
                    await live.sure()
                    ended.put_nowait(await self._timed(batch, plan))

        tasks = [asyncio.create_task(work_off(line), name="tool calls") for line in (in_order, *lines) if line]
        try:
            for left in range(len(due) - 1, -1, -1):
                finished = await ended.get()
                outcome.returns[finished.tool_return.tool_call_id] = finished.tool_return
                await live.tool_ended(batch.step_id, finished, more=left > 0)
        finally:
            await _end(tasks)

    async def _timed(self, batch: Batch, plan: Planned) -> v1.ToolCallFinished:
        began = self._clock.monotonic()
        call_id, tool = plan.call.tool_call_id, _tool(plan)
        try:
            result = await self._called(batch, plan)
            returned = returns.of_result(call_id, result, returns.limit(tool, batch.window_tokens))
        except Exception:  # an adapter that breaks is a fault of ours, and a return of the call all the same
            log.exception("a tool call failed inside", tool=tool.name, run_id=batch.work.run.id)
            returned = returns.error(call_id, f"Error: {tool.name} failed inside the server.")
        took_s = self._clock.monotonic() - began
        outcome = "success" if returned.status == v1.TOOL_RETURN_STATUS_SUCCESS else "error"
        self._meter.tool_called(_KINDS.get(tool.type, "other"), outcome, took_s)
        return v1.ToolCallFinished(tool_return=returned, duration_ns=int(took_s * SECOND_NS))

    async def _called(self, batch: Batch, plan: Planned) -> ToolResult:
        tool = _tool(plan)
        tools = self._tools.get(tool.type)
        if tools is None:
            return text_result(f"Error: {tool.name} cannot be called by this server.", is_error=True)
        timeout_s = tool.timeout.ToNanoseconds() / SECOND_NS if tool.HasField("timeout") else self._timeout_s
        task = asyncio.create_task(tools.call(self._call(batch, plan, tool)), name=f"call of {tool.name}")
        try:
            if await self._clock.wait(task, timeout_s):
                return _interrupted(tool) if task.cancelled() else task.result()
        finally:
            await self._stop(task, tool)
        told = f"Error: {tool.name} did not return within {timeout_s:g} s and was given up."
        return text_result(f"{told} Whether it took effect is not known.", is_error=True)

    def _call(self, batch: Batch, plan: Planned, tool: v1.Tool) -> ToolCall:
        tenant, agent_id = batch.work.tenant, batch.work.run.agent_id
        kept = batch.environment if tool.type == v1.TOOL_TYPE_PYTHON else {}
        return ToolCall(
            tenant=tenant,
            agent_id=agent_id,
            lane=batch.work.lane,
            run_id=batch.work.run.id,
            tool=tool,
            call_id=plan.call.tool_call_id,
            arguments=plan.arguments,
            key=ids.derive("call", batch.run_id, plan.call.tool_call_id),
            position=batch.position,
            environment=self._open_secrets(tenant, agent_id, kept),
        )

    async def _stop(self, task: asyncio.Task[ToolResult], tool: v1.Tool) -> None:
        """End the call; one that goes on nevertheless is left alone."""
        if task.done():
            return
        task.cancel()
        if not await self._clock.wait(task, ABANDON_AFTER_S):
            log.warning("a tool goes on though it was told to end", tool=tool.name)
            self._abandoned.add(task)
            task.add_done_callback(self._abandoned.discard)
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


def _goes_in_order(tool: v1.Tool) -> bool:
    return tool.in_order or tool.type == v1.TOOL_TYPE_BUILT_IN


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """See them through to their ends, which come soon."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _known(plans: Sequence[Planned], done: Done) -> Outcome:
    """What is known of calls before any of them is made: returns of those that are refused, or were made before."""
    outcome = Outcome()
    for plan in plans:
        call_id = plan.call.tool_call_id
        started = done.started.get(call_id)
        if call_id in done.finished:
            outcome.returns[call_id] = done.finished[call_id]
        elif started is not None and started.effect in _ONCE:
            outcome.in_doubt.append(plan.call)
        elif plan.refusal:
            outcome.returns[call_id] = returns.error(call_id, plan.refusal)
    return outcome


def _start(plan: Planned, done: Done) -> v1.ToolCallStarted:
    before = done.started.get(plan.call.tool_call_id)
    return v1.ToolCallStarted(
        tool_call_id=plan.call.tool_call_id,
        name=plan.call.name,
        effect=_tool(plan).effect or v1.TOOL_EFFECT_ONCE,
        attempt=before.attempt + 1 if before else 1,
    )


def _interrupted(tool: v1.Tool) -> ToolResult:
    return text_result(f"Error: {tool.name} was interrupted.", is_error=True)


def _tool(plan: Planned) -> v1.Tool:
    assert plan.tool is not None, "refused calls are not made"
    return plan.tool
