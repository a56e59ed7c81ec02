"""The door describes itself: every route, what it takes and answers; and its page loads nothing from anywhere."""

import json
import re
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from sendoff_server.gateway import server as gateway
from sendoff_server.gateway.codec.schemas import REF
from sendoff_server.gateway.docs_page import describing
from sendoff_server.gateway.openapi import document, undescribed
from tests.fixtures.server import Serve
from tests.gateway.sdk import url

TABLES = [*gateway._TABLES, describing(gateway._TABLES)]


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    return document(TABLES)


def test_every_route_and_nothing_else_is_told(told: dict[str, Any]) -> None:
    there = {(method, path) for table in TABLES for method, path, _ in table}

    assert {(method.upper(), path) for path, each in told["paths"].items() for method in each} == there
    ids = [operation["operationId"] for each in told["paths"].values() for operation in each.values()]
    assert len(ids) == len(set(ids))


def test_of_every_route_it_is_told_what_it_takes_and_answers() -> None:
    assert undescribed(TABLES) == set()


def test_every_schema_is_one_and_refers_to_what_there_is(told: dict[str, Any]) -> None:
    schemas = told["components"]["schemas"]

    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    assert set(re.findall(rf'"{REF}(\w+)"', json.dumps(told))) <= set(schemas)


def test_every_example_is_a_body_that_fits(told: dict[str, Any]) -> None:
    bodies = [each["requestBody"] for path in told["paths"].values() for each in path.values() if "requestBody" in each]
    media = [body["content"]["application/json"] for body in bodies]
    shown = [each for each in media if "example" in each]

    assert len(shown) >= 4
    for each in shown:
        schema = {**each["schema"], "components": told["components"]}
        Draft202012Validator(schema).validate(each["example"])
        assert set(each["example"]) <= set(each["schema"]["properties"])


def test_members_of_answers_are_told_with_their_types(told: dict[str, Any]) -> None:
    run = told["components"]["schemas"]["RunState"]

    assert run["required"] == list(run["properties"])
    assert run["properties"]["status"] == {"enum": ["created", "running", "completed", "failed", "cancelled"]}
    assert run["properties"]["completed_at"] == {"type": ["null", "string"], "format": "date-time"}
    assert re.fullmatch(run["properties"]["id"]["pattern"], "run-b8a6d2f4-17c3-4e59-8f20-6a9d41c7e305")
    assert {"type": "null"} in run["properties"]["stop_reason"]["anyOf"]


async def test_the_page_shows_every_route_and_loads_nothing_from_elsewhere(serve: Serve) -> None:
    async with serve(http_address="127.0.0.1:0") as server, httpx.AsyncClient(base_url=url(server)) as http:
        told = (await http.get("/openapi.json")).json()
        answer = await http.get("/docs")

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert re.findall(r"(?:https?:)?//\w|<script|<link|<img|@import", answer.text) == []
    shown = set(re.findall(r'"method">(\w+)</span> (\S+?)</code>', answer.text))
    assert shown == {(method.upper(), path) for path, each in told["paths"].items() for method in each}
