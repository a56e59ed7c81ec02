"""What the server tells of itself."""

from __future__ import annotations

from sendoff import v1
from sendoff_server.gateway.description.forms import OBJECT, TEXT, Described, Table, always, list_of, noun
from sendoff_server.gateway.description.queries import query_of

_HEALTH = Described(answers=always(version=TEXT, status={"const": "ok"}))
TABLE: Table = {
    ("GET", "/v1/health/"): _HEALTH,
    ("GET", "/v1/ready/"): _HEALTH,
    ("GET", "/livez"): _HEALTH,
    ("GET", "/readyz"): _HEALTH,
    ("GET", "/v1/server-info"): Described(answers=noun("ServerInfo")),
    ("GET", "/v1/queue-stats"): Described(
        query=query_of(v1.GetQueueStatsRequest.DESCRIPTOR), answers=noun("QueueStats")
    ),
    ("GET", "/v1/models/"): Described(
        query={"provider_name": list_of(TEXT), "provider_category": list_of(TEXT)}, answers=list_of(noun("ModelState"))
    ),
    ("GET", "/v1/models/embedding"): Described(answers={"type": "array", "maxItems": 0}),
    ("GET", "/openapi.json"): Described(answers=OBJECT),
    ("GET", "/docs"): Described(answers=TEXT),
}
