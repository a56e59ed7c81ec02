"""What the server tells of itself."""

from __future__ import annotations

from sendoff_server.gateway.description.forms import OBJECT, TEXT, Described, Table, always, list_of, noun

_HEALTH = Described(answers=always(version=TEXT, status={"const": "ok"}))
TABLE: Table = {
    ("GET", "/v1/health/"): _HEALTH,
    ("GET", "/v1/ready/"): _HEALTH,
    ("GET", "/v1/models/"): Described(
        query={"provider_name": list_of(TEXT), "provider_category": list_of(TEXT)}, answers=list_of(noun("ModelState"))
    ),
    ("GET", "/v1/models/embedding"): Described(answers={"type": "array", "maxItems": 0}),
    ("GET", "/openapi.json"): Described(answers=OBJECT),
    ("GET", "/docs"): Described(answers=TEXT),
}
