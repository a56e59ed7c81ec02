"""The pages that describe the REST door."""

import re

import httpx

from tests.fixtures.server import Serve
from tests.gateway.sdk import url


async def test_the_page_shows_every_route_and_loads_nothing_from_elsewhere(serve: Serve) -> None:
    async with serve(http_address="127.0.0.1:0") as server, httpx.AsyncClient(base_url=url(server)) as http:
        told = (await http.get("/openapi.json")).json()
        answer = await http.get("/docs")

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert re.findall(r"(?:https?:)?//\w|<script|<link|<img|@import", answer.text) == []
    shown = set(re.findall(r'"method">(\w+)</span> (\S+?)</code>', answer.text))
    assert shown == {(method.upper(), path) for path, each in told["paths"].items() for method in each}
