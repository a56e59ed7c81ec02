"""The page tells the story, too, by the server that keeps its key; and that server is for nobody else."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import aiohttp
import pytest

from tests.languages import story
from tests.languages.model import StoryModel
from tests.languages.program import Program, environment, running
from tests.languages.server import StoryServer
from tests.languages.toolchain import EXAMPLES, NODE, missing, versions

_PAGE = Path(__file__).with_name("page.mjs")


@pytest.fixture(autouse=True)
def _needs_node(record_property: Callable[[str, object], None]) -> None:
    record_property("language", "web page")
    if absent := missing((NODE,)):
        pytest.skip(f"the web page is NOT TESTED, for want of {', '.join(absent)}")
    record_property("versions", versions((NODE,)))


@pytest.fixture
async def page_address(story_server_process: StoryServer) -> AsyncIterator[str]:
    variables = environment(**story_server_process.variables(), PAGE_PORT="0")
    async with running(EXAMPLES / "web", "exec node serve.mjs", variables) as serving:
        await serving.until(lambda program: bool(program.lines))
        yield serving.lines[0]


async def test_the_page_tells_the_whole_story(page_address: str, story_server_process: StoryServer) -> None:
    async with _shown(page_address) as page:
        assert await page.ended() == 0, page.told()

        log = await story_server_process.log_of(story.run_id(page.lines))
        story.check(page.lines, log)


async def test_the_page_goes_on_where_it_was_when_the_server_was_killed(
    page_address: str, story_server_process: StoryServer, model: StoryModel
) -> None:
    server = story_server_process
    model.stall_first_answer()
    async with _shown(page_address) as page:
        await model.stalled()
        await page.until(lambda program: any(line.endswith(": step_started") for line in program.lines))
        await server.kill()
        await server.begin()

        assert await page.ended() == 0, page.told()
        log = await server.log_of(story.run_id(page.lines))
        story.check(page.lines, log)
        assert max(event.attempt for event in log) == 2, "it was killed in the middle of the run"


@pytest.mark.parametrize("headers", [{"sec-fetch-site": "cross-site"}, {"host": "other.example"}], ids=str)
async def test_other_sites_cannot_use_the_key(page_address: str, headers: dict[str, str]) -> None:
    assert await _status(page_address, "/v1/server-info", headers) == HTTPStatus.FORBIDDEN
    assert await _status(page_address, "/v1/server-info", {"sec-fetch-site": "same-origin"}) == HTTPStatus.OK


async def test_only_calls_of_the_api_are_handed_on(page_address: str) -> None:
    assert await _status(page_address, "/openapi.json", {}) == HTTPStatus.NOT_FOUND
    assert await _status(page_address, "/serve.mjs", {}) == HTTPStatus.NOT_FOUND


@asynccontextmanager
async def _shown(address: str) -> AsyncIterator[Program]:
    script = shlex.join(["exec", "node", str(_PAGE), address])
    async with running(EXAMPLES / "web", script, environment()) as page:
        yield page


async def _status(address: str, path: str, headers: dict[str, str]) -> int:
    async with aiohttp.ClientSession() as session, session.get(address + path, headers=headers) as answer:
        return answer.status
