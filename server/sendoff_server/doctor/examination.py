"""All checks, told as they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence

from sendoff_server.doctor import addresses, database, machine, models, safety
from sendoff_server.doctor.findings import Finding, ok, problem, warning
from sendoff_server.models.port import Catalogue
from sendoff_server.settings import Settings

PATIENCE_S = 30.0
"""How long one check may take, whoever does not answer it."""

AskTools = Callable[[], Awaitable[Mapping[str, str]]]
"""Tells of each MCP server what is wrong with it; an empty text: nothing."""


def configuration(misspelt: Mapping[str, str]) -> Iterable[Finding]:
    """Of settings that could be read; what they cannot be is told by whoever reads them."""
    if not misspelt:
        yield ok("configuration", "every variable SENDOFF_* that is set is a setting")
    for name, meant in misspelt.items():
        yield warning("configuration", f"{name} is not a setting and changes nothing", f"rename it: {meant}")


async def examine(settings: Settings, offered: Catalogue, ask_tools: AskTools) -> AsyncGenerator[Sequence[Finding]]:
    """The findings of each check, in an order that does not change; slow ones work meanwhile."""
    checks: Sequence[tuple[str, Awaitable[Sequence[Finding]]]] = (
        ("machine", asyncio.to_thread(lambda: list(machine.check(settings)))),
        ("addresses", addresses.check(settings)),
        ("safety", asyncio.to_thread(lambda: list(safety.check(settings)))),
        ("database", database.check(settings)),
        ("models", models.check(offered)),
        ("MCP servers", _tools(ask_tools)),
    )
    running = [(about, asyncio.ensure_future(_within(check, about))) for about, check in checks]
    try:
        for _, check in running:
            yield await check
    finally:
        for _, check in running:
            check.cancel()
        await asyncio.gather(*(check for _, check in running), return_exceptions=True)


async def _within(check: Awaitable[Sequence[Finding]], about: str) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await check
    except TimeoutError:
        return [problem(about, f"no answer within {PATIENCE_S:g} s", "look at the network in between")]


async def _tools(ask: AskTools) -> Sequence[Finding]:
    return [
        warning(
            "MCP servers", f"{name}: {fault}", "look at its entry in the file of MCP servers; its tools are missing"
        )
        if fault
        else ok("MCP servers", f"{name} answers")
        for name, fault in (await ask()).items()
    ]
