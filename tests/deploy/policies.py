"""What callers repeat, as `deploy/README.md` tells it: for gRPC made from the contract, for REST in a few lines."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count, cycle
from pathlib import Path
from typing import Any

import httpx

from sendoff import methods
from tests.faults.caller import PATIENCE_S

DEPLOY = Path(__file__).parents[2] / "deploy"
BEHIND_A_BALANCER = DEPLOY / "grpc-service-config.json"
DIRECT = DEPLOY / "grpc-service-config-direct.json"

ATTEMPTS = 5
"""gRPC allows no more."""
_RETRY = {
    "maxAttempts": ATTEMPTS,
    "initialBackoff": "0.2s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
}
_PASSING = (429, 502, 503, 504)
_FIRST_PAUSE_S = 0.2


def made(*, direct: bool) -> str:
    """The text of a service configuration. `direct`: for callers that know the servers' own addresses."""
    told: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if direct:
        told["healthCheckConfig"] = {"serviceName": ""}
    told["methodConfig"] = [{"name": [_name(path) for path in repeatable()], "retryPolicy": _RETRY}]
    return json.dumps(told, indent=2) + "\n"


def repeatable() -> list[str]:
    """Paths of the methods that may be sent again: the contract says so, or their requests have a `request_id`."""
    known = [each for each in vars(methods).values() if isinstance(each, methods.Method)]
    return sorted(
        each.path for each in known if each.is_idempotent or "request_id" in each.request.DESCRIPTOR.fields_by_name
    )


def _name(path: str) -> dict[str, str]:
    _, service, method = path.split("/")
    return {"service": service, "method": method}


class Rest:
    """Requests over REST to servers in turn, each repeated as the page tells; to one address they never are."""

    def __init__(self, doors: Sequence[httpx.AsyncClient]) -> None:
        self._doors = cycle(doors)
        self._attempts = ATTEMPTS if len(doors) > 1 else 1
        self.repeats = 0

    async def __call__(self, method: str, path: str, **options: Any) -> Any:
        """What is answered, in JSON."""
        headers = {"idempotency-key": str(uuid.uuid4())}
        for failures in count(1):
            try:
                answer = await next(self._doors).request(method, path, headers=headers, **options)
            except httpx.TransportError:
                if failures == self._attempts:
                    raise
                answer = None
            if answer is not None and (answer.status_code not in _PASSING or failures == self._attempts):
                assert answer.status_code == 200, (answer.status_code, answer.text, path)
                return answer.json()
            await self._pause(answer, failures)

    async def _pause(self, answer: httpx.Response | None, failures: int) -> None:
        self.repeats += 1
        told = answer.headers.get("retry-after") if answer is not None else None
        await asyncio.sleep(float(told) if told else _FIRST_PAUSE_S * 2.0 ** (failures - 1))

    async def stream(self, path: str) -> None:
        """A run's stream to its end, taken up again behind its last event wherever it breaks off: it misses nothing and
        tells nothing twice."""
        numbers, is_whole, failures = [0], False, 0
        while not is_whole:
            try:
                is_whole = await self._part(path, numbers)
                failures = 0
            except (httpx.TransportError, _NotNow):
                failures += 1
                if failures == self._attempts:
                    raise
                await self._pause(None, failures)
        assert numbers == list(range(len(numbers)))

    async def _part(self, path: str, numbers: list[int]) -> bool:
        """The events of one request; whether they were the last ones."""
        body = {"starting_after": numbers[-1]}
        is_cut, is_over = False, False
        async with next(self._doors).stream("POST", path, json=body) as response:
            if response.status_code in _PASSING:
                raise _NotNow
            assert response.status_code == 200
            async for line in response.aiter_lines():
                is_cut = is_cut or _is_cut(line)
                if line.startswith("id:") and not is_cut:
                    numbers.append(int(line[3:]))
                is_over = is_over or line == "data: [DONE]"
        assert is_over, "the stream ended without a word"
        return not is_cut


class _NotNow(Exception):
    """A stream was refused for now."""


def _is_cut(line: str) -> bool:
    """Whether the server says that the stream has not told everything."""
    return line.startswith("data: {") and json.loads(line[5:]).get("message_type") == "error_message"


@asynccontextmanager
async def over_rest(addresses: Sequence[str]) -> AsyncIterator[Rest]:
    """A caller of these servers."""
    async with AsyncExitStack() as stack:
        yield Rest(
            [
                await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://{each}", timeout=PATIENCE_S))
                for each in addresses
            ]
        )
