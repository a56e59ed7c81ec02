"""What is JSON and still no request: half characters, numbers without end, depths; refused everywhere, never failed
at."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.fixtures.server import Serve
from tests.gateway.sdk import url

HALF = r"\ud800"
DEEP = "[" * 5_000 + "]" * 5_000


@pytest.fixture
async def http(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(http_address="127.0.0.1:0") as server, httpx.AsyncClient(base_url=url(server)) as client:
        yield client


async def _sent(http: httpx.AsyncClient, method: str, path: str, text: str) -> httpx.Response:
    made = await http.post("/v1/agents/", json={"model": "scripted/echo"})
    conversation = await http.post(f"/v1/conversations/?agent_id={made.json()['id']}", json={})
    place = path.format(agent=made.json()["id"], conversation=conversation.json()["id"])
    return await http.request(method, place, content=text, headers={"content-type": "application/json"})


AGENT, CONVERSATION = ("PATCH", "/v1/agents/{agent}"), ("PATCH", "/v1/conversations/{conversation}")
MESSAGE, CANCEL = ("POST", "/v1/agents/{agent}/messages/async"), ("POST", "/v1/agents/{agent}/messages/cancel")
STREAM = ("POST", "/v1/conversations/{conversation}/stream")


HALVES = [
    (AGENT, f'{{"name": "{HALF}"}}', "name"),
    (AGENT, f'{{"metadata": {{"a": ["b", "{HALF}"]}}}}', "metadata.a[1]"),
    (AGENT, f'{{"metadata": {{"{HALF}": 1}}}}', "metadata"),
    (CONVERSATION, f'{{"description": "{HALF.upper().replace("U", "u")}"}}', "description"),
    (MESSAGE, f'{{"input": "{HALF}"}}', "input"),
    (MESSAGE, f'{{"input": "x", "labels": {{"a": "{HALF}"}}}}', "labels.a"),
    (CANCEL, f'{{"run_ids": ["{HALF}"]}}', "run_ids[0]"),
    (STREAM, f'{{"run_id": "{HALF}"}}', "run_id"),
    (STREAM, f'{{"otid": "{HALF}"}}', "otid"),
]


async def test_half_a_character_is_refused_with_its_place(http: httpx.AsyncClient) -> None:
    for route, text, named in HALVES:
        answer = await _sent(http, *route, text)
        assert answer.status_code == 422, text
        assert answer.json()["detail"] == f"{named}: holds half a surrogate pair, which is no text"


async def test_a_whole_pair_of_halves_is_a_character(http: httpx.AsyncClient) -> None:
    answer = await _sent(http, *AGENT, r'{"metadata": {"a": "\ud83c\udf0d"}}')

    assert answer.json()["metadata"] == {"a": "🌍"}


NO_NUMBERS = ["1e400", "-1e400", "NaN", "Infinity", "-Infinity", "1" * 5_000]


@pytest.mark.parametrize("member", ["metadata", "limits"])
async def test_a_number_that_is_none_is_refused(http: httpx.AsyncClient, member: str) -> None:
    for number in NO_NUMBERS:
        answer = await _sent(http, *MESSAGE, f'{{"input": "x", "{member}": {{"action_timeout": {number}}}}}')
        assert answer.status_code == 422, number


async def test_whole_numbers_of_any_size_are_kept_where_they_are_the_caller_s(http: httpx.AsyncClient) -> None:
    answer = await _sent(http, *MESSAGE, f'{{"input": "x", "metadata": {{"a": {2**80}, "b": 1.0, "c": 1}}}}')

    assert answer.json()["metadata"] == {
        "run_type": "send_message_async",
        "lettuce": None,
        "a": 2**80,
        "b": 1.0,
        "c": 1,
    }
    assert '"b":1.0,"c":1' in answer.text


async def test_what_is_too_deep_to_read_is_refused(http: httpx.AsyncClient) -> None:
    for route in (AGENT, MESSAGE, CANCEL):
        assert (await _sent(http, *route, f'{{"metadata": {DEEP}}}')).status_code == 422, route
