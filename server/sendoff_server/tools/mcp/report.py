"""What `sendoff-server mcp ls` prints, and what `sendoff-server doctor` is told."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping

from sendoff import v1
from sendoff_server.clock import SystemClock
from sendoff_server.tools.mcp.config import ServerConfig
from sendoff_server.tools.mcp.failures import ServerFailed
from sendoff_server.tools.mcp.link import Link
from sendoff_server.tools.mcp.servers import McpServers


async def report(configs: Mapping[str, ServerConfig]) -> bool:
    """Print every server with its tools, each as it answers, and to standard error what is wrong.

    Returns whether all of them answer.
    """
    servers = McpServers(configs, SystemClock())
    async with servers.running():
        return all(await asyncio.gather(*(_report(link) for link in servers.links.values())))


async def faults(configs: Mapping[str, ServerConfig]) -> Mapping[str, str]:
    """What is wrong with each server, by its name; an empty text: it answers, and all of its tools can be used."""
    servers = McpServers(configs, SystemClock())
    async with servers.running():
        links = servers.links.values()
        return dict(zip((link.name for link in links), await asyncio.gather(*map(_fault, links)), strict=True))


async def _fault(link: Link) -> str:
    try:
        offer = await link.fresh_offer()
    except ServerFailed as failure:
        return str(failure)
    return "; ".join(link.config.blotted(fault) for fault in offer.faults)


async def _report(link: Link) -> bool:
    try:
        offer = await link.fresh_offer()
    except ServerFailed as failure:
        told = [f"{link.name} ({link.config.where}) does not answer: {failure}", *link.last_words]
        print("\n  | ".join(told), file=sys.stderr)
        return False
    print(f"{link.name} ({link.config.where})")
    for tool in offer.tools.values():
        print(f"  {_line(tool)}")
    for fault in offer.faults:
        print(f"{link.name}: {link.config.blotted(fault)}", file=sys.stderr)
    return True


def _line(tool: v1.Tool) -> str:
    effect = v1.ToolEffect.Name(tool.effect).removeprefix("TOOL_EFFECT_")
    return f"{tool.name}  {effect}{'  requires approval' if tool.requires_approval else ''}"
