"""A server process that has a tool of its own and stops for ever at one point, so that it can be killed there.

The tool `look` appends a line to the file that SUBJECT_TOOL_FILE names, and has the effect that SUBJECT_TOOL_EFFECT
names. SUBJECT_STOP names the point: `model 1 0` (the second model call, before its first chunk), `tool before` and
`tool after` (its line is written), `commit before tool_call_started` and `commit after ...` (the first commit with such
an event, or with an `attempt` to call back), `claim after delivery`, `claim after pulled delivery`. Once there, the log
says "stopped here".
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from sendoff import v1
from sendoff_server import __main__, assembly, store_parts
from sendoff_server.loop.toolset import Toolbox
from sendoff_server.models import scripted
from sendoff_server.models.port import ModelCall
from sendoff_server.store.items import Item, NoteAttempt, Progress
from sendoff_server.store.postgres import engine
from sendoff_server.store.postgres.engine import PostgresStore
from sendoff_server.store.questions import Delivery
from sendoff_server.store.sqlite.engine import SqliteStore
from sendoff_server.tools.port import ToolCall, ToolResult, Tools, text_result

STOP = os.environ.get("SUBJECT_STOP", "")
EFFECT = v1.ToolEffect.Value(os.environ.get("SUBJECT_TOOL_EFFECT", "TOOL_EFFECT_ONCE"))
FILE = Path(os.environ["SUBJECT_TOOL_FILE"])


async def point(name: str) -> None:
    if name == STOP:
        structlog.get_logger().info("stopped here")
        await asyncio.Event().wait()


class Looking(Tools, Toolbox):
    """The tool, and beside it `quick`, which does nothing."""

    async def tools_of(self, tenant: str, agent: v1.Agent) -> Sequence[v1.Tool]:
        look = v1.Tool(id="tool-look", name="look", type=v1.TOOL_TYPE_MCP, effect=EFFECT)
        return [look, v1.Tool(id="tool-quick", name="quick", type=v1.TOOL_TYPE_MCP, effect=v1.TOOL_EFFECT_ONCE)]

    async def call(self, call: ToolCall) -> ToolResult:
        if call.tool.name == "quick":
            return text_result("quick")
        await point("tool before")
        _note(call.key)
        await point("tool after")
        return text_result("seven")


def _note(line: str) -> None:
    with FILE.open("a") as lines:
        lines.write(f"{line}\n")


if TYPE_CHECKING:
    _Engine = SqliteStore
else:
    _Engine = object  # whichever comes behind it


class Stopping(_Engine):
    async def flush(self, batch: Sequence[Item]) -> Any:
        kinds: set[str | None] = {
            event.WhichOneof("event") for item in batch if isinstance(item, Progress) for event in item.events
        }
        if any(isinstance(item, NoteAttempt) for item in batch):
            kinds.add("attempt")
        for kind in kinds:
            await point(f"commit before {kind}")
        results = await super().flush(batch)
        for kind in kinds:
            await point(f"commit after {kind}")
        return results

    async def claim_deliveries(
        self, now_ns: int, limit: int, per_receiver: int, room: Mapping[str, int]
    ) -> list[Delivery]:
        claimed = await super().claim_deliveries(now_ns, limit, per_receiver, room)
        if claimed:
            await point("claim after delivery")
        return claimed

    async def claim_pulled(self, tenant: str, endpoint_id: str, now_ns: int, limit: int) -> list[Delivery]:
        claimed = await super().claim_pulled(tenant, endpoint_id, now_ns, limit)
        if claimed:
            await point("claim after pulled delivery")
        return claimed


class StoppingSqlite(Stopping, SqliteStore):
    """On SQLite."""


class StoppingPostgres(Stopping, PostgresStore):  # type: ignore[misc]  # Stopping is no SqliteStore when it runs
    """On PostgreSQL."""


def main() -> None:
    numbers = count()
    of_run: dict[str, int] = {}

    async def gate(call: ModelCall, sent: int) -> None:
        if sent == 0:
            of_run[call.run_id] = next(numbers)
        await point(f"model {of_run[call.run_id]} {sent}")

    tools = Looking()
    setattr(assembly, "toolbox_of", lambda *_: tools)  # noqa: B010 -- not as if it were declared so
    setattr(assembly, "callers_of", lambda *_: {v1.TOOL_TYPE_MCP: tools})  # noqa: B010
    setattr(store_parts, "SqliteStore", StoppingSqlite)  # noqa: B010
    setattr(engine, "PostgresStore", StoppingPostgres)  # noqa: B010
    setattr(scripted, "ScriptedModels", partial(scripted.ScriptedModels, gate=gate))  # noqa: B010
    __main__.main()


if __name__ == "__main__":
    main()
