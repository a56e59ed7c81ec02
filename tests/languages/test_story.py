"""Every example tells the whole story, whatever happens to the server meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.contract.databases import PostgresDatabase
from tests.gateway.proxy import Proxy, between
from tests.languages import story
from tests.languages.model import StoryModel
from tests.languages.program import RUN_TIMEOUT_S, Program, commands, environment, running
from tests.languages.server import StoryServer, serving, story_server
from tests.languages.toolchain import Language

CUTS = 3


async def test_the_whole_story_is_told_over_tls_to_those_who_have_the_key(
    language: Language, story_server_process: StoryServer
) -> None:
    server = story_server_process
    async with running(language.folder, commands(language.folder, "Run"), _told(server)) as program:
        assert await program.ended() == 0, program.told()

        story.check(program.lines, await server.log_of(story.run_id(program.lines)))


async def test_a_watch_is_taken_up_where_it_was_when_the_server_was_killed(
    language: Language, story_server_process: StoryServer, model: StoryModel
) -> None:
    server = story_server_process
    model.stall_first_answer()
    async with running(language.folder, commands(language.folder, "Run"), _told(server)) as program:
        await model.stalled()
        await program.until(_watches)
        await server.kill()
        await server.begin()

        assert await program.ended() == 0, program.told()
        log = await server.log_of(story.run_id(program.lines))
        story.check(program.lines, log)
        assert max(event.attempt for event in log) == 2, "it was killed in the middle of the run"


async def test_a_watch_is_taken_up_where_it_was_each_time_that_the_network_cuts_it(
    language: Language, story_server_process: StoryServer, model: StoryModel
) -> None:
    server = story_server_process
    model.hold_first_answer()
    async with (
        between(_door(server, language), ()) as proxy,
        running(language.folder, commands(language.folder, "Run"), _told(server, proxy)) as program,
    ):
        await model.held()
        await program.until(_watches)
        for _ in range(CUTS):
            await _cut(proxy)
        model.go_on()

        assert await program.ended() == 0, program.told()
        story.check(program.lines, await server.log_of(story.run_id(program.lines)))


async def test_a_watch_is_taken_up_where_it_was_at_another_server(
    language: Language, model: StoryModel, postgres: PostgresDatabase, tmp_path: Path
) -> None:
    model.stall_first_answer()
    async with (
        story_server(tmp_path, model.url, postgres.dsn) as first,
        serving(first.another()) as second,
        between(_door(first, language), ()) as proxy,
        running(language.folder, commands(language.folder, "Run"), _told(first, proxy)) as program,
    ):
        await model.stalled()
        await program.until(_watches)
        proxy.lead_to(_door(second, language))
        assert await first.stop() == 0, "it drains, and tells watchers to come again"

        assert await program.ended() == 0, program.told()
        story.check(program.lines, await second.log_of(story.run_id(program.lines)))


async def _cut(proxy: Proxy) -> None:
    """Cut all connections, and wait until there is another."""
    while not proxy.begun.empty():
        proxy.begun.get_nowait()
    proxy.cut()
    async with asyncio.timeout(RUN_TIMEOUT_S):
        await proxy.begun.get()


def _watches(program: Program) -> bool:
    return any(line.endswith(": step_started") for line in program.lines)


def _door(server: StoryServer, language: Language) -> str:
    return server.http_address if language.over == "rest" else server.address


def _told(server: StoryServer, proxy: Proxy | None = None) -> dict[str, str]:
    """With a proxy, that it is the server."""
    stands_in = {"SENDOFF_ADDRESS": proxy.address, "SENDOFF_URL": f"https://{proxy.address}"} if proxy else {}
    return environment(**{**server.variables(), **stands_in})
