"""The description of the REST door for people and for programs: `/docs`, `/openapi.json`. Nothing is loaded from
elsewhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from functools import cache
from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from sendoff_server.gateway.doors import Table
from sendoff_server.use_cases import UseCases

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code { font: 0.9em ui-monospace, monospace; } li { margin: 0.4rem 0; } .method { font-weight: bold; }
small { color: #555; display: block; }
"""


def describing(tables: Sequence[Table]) -> Table:
    """The routes that describe these tables, and themselves. What they tell is made when it is first asked for, beside
    the loop."""

    async def openapi_json(use_cases: UseCases, request: Request) -> Response:
        """GET /openapi.json: this description, for programs."""
        return Response(await asyncio.to_thread(text), media_type="application/json")

    async def docs(use_cases: UseCases, request: Request) -> Response:
        """GET /docs: this description, for people."""
        return HTMLResponse(await asyncio.to_thread(page), headers={"content-security-policy": _POLICY})

    own: Table = (("GET", "/openapi.json", openapi_json), ("GET", "/docs", docs))

    @cache
    def told() -> dict[str, Any]:
        from sendoff_server.gateway.openapi import document  # nobody who starts a server waits for it

        return document([*tables, own])

    @cache
    def text() -> bytes:
        return json.dumps(told(), separators=(",", ":")).encode()

    @cache
    def page() -> str:
        return _page(told())

    return own


def _page(told: dict[str, Any]) -> str:
    by_tag: dict[str, list[str]] = {}
    for path, operations in told["paths"].items():
        for method, operation in operations.items():
            by_tag.setdefault(operation["tags"][0], []).append(_line(method, path, operation))
    sections = "".join(f"<h2>{escape(tag)}</h2><ul>{''.join(lines)}</ul>" for tag, lines in by_tag.items())
    title = f"{told['info']['title']} {told['info']['version']}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f"<h1>{escape(title)}</h1><p>{escape(told['info']['description'])} "
        f'<a href="/openapi.json">openapi.json</a> has it all.</p>{sections}</html>'
    )


def _line(method: str, path: str, operation: dict[str, Any]) -> str:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    names = [each["name"] for each in operation["parameters"] if each["in"] == "query"] + list(
        body.get("properties", {})
    )
    members = f"<small><code>{escape(', '.join(names))}</code></small>" if names else ""
    return (
        f'<li><code><span class="method">{method.upper()}</span> {escape(path)}</code> '
        f"{escape(operation['summary'])}{members}</li>"
    )
