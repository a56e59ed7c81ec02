"""What the loop asks of tools, wherever they run.

There is one `Tools` for each kind of tool that the server calls itself (`v1.ToolType`); adapters stand beside this file
and are chosen by `assembly.py`. Tools that run at the caller have none: each call of theirs is a pending action.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from sendoff import v1


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call of a tool."""

    tenant: str
    agent_id: str
    lane: str
    """The lane of the conversation, see `store.port`."""
    run_id: str
    tool: v1.Tool
    call_id: str
    arguments: Mapping[str, Any]
    """A JSON object, parsed."""
    key: str
    """The same whenever this call is made again, and of no other call: an idempotency key."""
    position: int
    """Of the entry that made the call: what the tool may read of the conversation stands before it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that the agent gives its Python tools. Secret."""

    def __repr__(self) -> str:
        """Without what is secret, and without what may be long."""
        return f"ToolCall({self.tool.name!r}, call_id={self.call_id!r}, run_id={self.run_id!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What a call gave. A tool that failed gave a result too."""

    content: v1.Content
    """Text, or text and images."""
    is_error: bool = False
    stdout: Sequence[str] | None = None
    """Lines that it printed. None: not told."""
    stderr: Sequence[str] | None = None


class Tools(Protocol):
    """Tools of one kind."""

    async def call(self, call: ToolCall) -> ToolResult:
        """Call the tool once.

        Whatever goes wrong with the tool is a result with `is_error`, whose text the model can act on. Cancelling ends
        the call, and what the tool does as far as that can be ended; the caller sees to time-outs by cancelling.
        """
        ...


class ListedTools(NamedTuple):
    """What the servers offer that have tools of their own."""

    tools: Sequence[v1.Tool]
    """Without etag and times, which are those of whoever keeps them."""
    silent: Sequence[str]
    """Names of the servers that do not answer."""


class ListedServers(Protocol):
    """Servers whose tools can be listed."""

    async def tools(self) -> ListedTools:
        """The tools of all servers; of a silent one as it last told them to this process, if it did. Never raises."""
        ...


class ToolListener(Protocol):
    """Whoever keeps the tools that servers offer."""

    async def listed(self, server: str, tools: Sequence[v1.Tool]) -> None:
        """All tools that this server offers now, first when it is first connected, then whenever they change. Those
        that it offered before and does not any more are not among them. May raise: it is told again later."""
        ...


def text_result(text: str, *, is_error: bool = False) -> ToolResult:
    return ToolResult(content=v1.Content(text=text or "(nothing)"), is_error=is_error)


@dataclass(frozen=True, slots=True)
class Described:
    """What a Python tool's source code tells of it."""

    name: str
    """Of its function."""
    description: str
    """From its docstring; "" without one."""
    json_schema: str
    """JSON Schema of its arguments, as text. "": none can be made of its signature."""
    misfit: str = ""
    """Why there is no schema."""


class Unfit(Exception):
    """Source code that is not that of a tool; the message tells why, for who wrote it."""


class Sources(Protocol):
    """Reads the source code of Python tools."""

    async def describe(self, name: str, source_code: str) -> Described:
        """What a tool of that name with that source code is; "" for the name of its only function. Raises Unfit."""
        ...
