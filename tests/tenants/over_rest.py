"""Calls any route of the REST door for a tenant, and tells all of what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from tests.faults.caller import PATIENCE_S
from tests.tenants.answers import Answer
from tests.tenants.gate import credential

Asked = Mapping[str, Mapping[str, Any]]
"""What is put into a path, a query, headers and the body: `path`, `query`, `headers`, `body`."""

Route = tuple[str, str]
"""Method and path, as the door describes itself."""
_MOVING = {"date", "content-length", "x-trace-id"}


class RestCaller:
    """Calls as one tenant."""

    def __init__(self, address: str, tenant: str) -> None:
        headers = {"authorization": credential(tenant)}
        self.document: Any = {}
        self._http = httpx.AsyncClient(base_url=f"http://{address}", timeout=PATIENCE_S, headers=headers)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def routes(self) -> Mapping[Route, Mapping[str, Any]]:
        """Every route with its description."""
        self.document = (await self._http.get("/openapi.json")).json()
        paths = self.document["paths"]
        return {(method.upper(), path): told for path, methods in paths.items() for method, told in methods.items()}

    async def call(self, route: Route, asked: Asked) -> Answer:
        """What comes of it. Of streams: of all events, once it has ended."""
        method, path = route
        for name, value in asked.get("path", {}).items():
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        response = await self._http.request(
            method, path, params=asked.get("query"), headers=asked.get("headers"), json=asked.get("body")
        )
        headers = [f"{name}: {value}" for name, value in response.headers.items() if name not in _MOVING]
        return Answer(str(response.status_code), "\n".join([*headers, response.text]))
