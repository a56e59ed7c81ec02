"""What went over the wire in one call, as bytes; and files of that, one call a line, which any language can read."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

TOLD_HEADERS = ("idempotency-replayed",)
"""Of the metadata that a server sends first, what is part of the contract."""
DETAILS = "grpc-status-details-bin"


@dataclass
class Exchange:
    """One call: what was asked, what was answered, and how it ended."""

    method: str
    """As "sendoff.v1.RunService/GetRun"."""
    requests: list[bytes]
    """One, but for a stream of requests: there the first was sent, a response for each other came, then those."""
    responses: list[bytes] = field(default_factory=list)
    code: str = "OK"
    details: bytes = b""
    """The google.rpc.Status of a refusal."""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.code == "OK"


def save(path: Path, exchanges: Iterable[Exchange]) -> None:
    path.write_text("".join(json.dumps(_told(asdict(each)), sort_keys=False) + "\n" for each in exchanges))


def load(path: Path) -> list[Exchange]:
    return [_read(json.loads(line)) for line in path.read_text().splitlines()]


def _told(fields: dict[str, object]) -> dict[str, object]:
    """Bytes as base64, and nothing of what is empty."""
    return {name: _text(value) for name, value in fields.items() if value}


def _text(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return [_text(each) for each in value] if isinstance(value, list) else value


def _read(told: dict[str, object]) -> Exchange:
    requests, responses, details = (told.get(name, []) for name in ("requests", "responses", "details"))
    return Exchange(
        method=str(told["method"]),
        requests=[base64.b64decode(each) for each in _texts(requests)],
        responses=[base64.b64decode(each) for each in _texts(responses)],
        code=str(told["code"]),
        details=base64.b64decode(str(details or "")),
        headers={name: str(value) for name, value in dict(told.get("headers") or {}).items()},  # type: ignore[call-overload]
    )


def _texts(value: object) -> list[str]:
    assert isinstance(value, list)
    return [str(each) for each in value]
