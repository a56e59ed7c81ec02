"""The two doors of a server, as promises see them: accept, read, cancel, follow."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc.aio
import httpx

from sendoff import v1
from tests.faults.caller import PATIENCE_S, Caller, Refusal, calling


@dataclass(frozen=True, slots=True)
class Accepted:
    run_id: str
    replayed: bool
    """Whether the server says that it was accepted before."""


@dataclass(frozen=True, slots=True)
class Place:
    """An event of a stream: the number after which a stream can be taken up again, and what it tells."""

    number: int
    told: str


class Refused(Exception):
    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason
        self.text = text


class Door(ABC):
    """Calls of one client through one door."""

    @abstractmethod
    async def agent(self, model: str = "scripted/script") -> str: ...

    @abstractmethod
    async def send(self, agent: str, text: str, *, key: str = "", otid: str = "") -> Accepted:
        """Raises Refused."""

    @abstractmethod
    async def run(self, run_id: str) -> Mapping[str, Any]:
        """All that the door tells of a run; `status` and `stop_reason` in the words of the API."""

    @abstractmethod
    async def cancel(self, agent: str, run_id: str) -> None: ...

    @abstractmethod
    async def texts(self, run_id: str) -> list[str]:
        """What the run's messages say, in order."""

    @abstractmethod
    def follow(self, run_id: str, after: int = 0) -> AsyncIterator[Place]:
        """The events of a run behind that number, to its end."""

    async def ended(self, run_id: str) -> Mapping[str, Any]:
        """The run once it has ended."""
        async for _ in self.follow(run_id):
            pass
        return await self.run(run_id)


class Grpc(Door):
    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def agent(self, model: str = "scripted/script") -> str:
        return await self._caller.agent(model)

    async def send(self, agent: str, text: str, *, key: str = "", otid: str = "") -> Accepted:
        request = v1.CreateMessageAsyncRequest(agent_id=agent, messages=v1.InputMessages(messages=[_said(text, otid)]))
        metadata = (("idempotency-key", key),) if key else ()
        call = self._caller.runs.CreateMessageAsync(request, metadata=metadata, timeout=PATIENCE_S)
        try:
            run = await call
        except grpc.aio.AioRpcError as error:
            raise Refused(Refusal(error).reason, error.details() or "") from None
        return Accepted(run.id, dict(await call.initial_metadata() or ()).get("idempotency-replayed") == "true")

    async def run(self, run_id: str) -> Mapping[str, Any]:
        run = await self._caller.get(run_id)
        reason = v1.StopReason.Name(run.stop_reason).removeprefix("STOP_REASON_").lower()
        status = v1.RunStatus.Name(run.status).removeprefix("RUN_STATUS_").lower()
        return {"status": status, "stop_reason": reason, "all": run.SerializeToString(deterministic=True)}

    async def cancel(self, agent: str, run_id: str) -> None:
        await self._caller.cancel(run_id)

    async def texts(self, run_id: str) -> list[str]:
        messages = await self._caller.messages(run_id)
        return [each.user_message.content.text or each.assistant_message.content.text for each in messages]

    async def follow(self, run_id: str, after: int = 0) -> AsyncIterator[Place]:
        async for frame in self._caller.watch(run_id, after_sequence=after):
            if frame.HasField("event"):
                yield Place(frame.event.sequence, str(frame.event))


class Rest(Door):
    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def agent(self, model: str = "scripted/script") -> str:
        return str(await self._asked("POST", "/v1/agents/", {"model": model, "include_base_tools": False}, "id"))

    async def send(self, agent: str, text: str, *, key: str = "", otid: str = "") -> Accepted:
        message = {"role": "user", "content": text, **({"otid": otid} if otid else {})}
        headers = {"idempotency-key": key} if key else {}
        path = f"/v1/agents/{agent}/messages/async"
        response = await self._http.post(path, json={"messages": [message]}, headers=headers)
        told = response.json()
        if response.is_error:
            raise Refused(told.get("reason", ""), json.dumps(told))
        return Accepted(told["id"], response.headers.get("idempotency-replayed") == "true")

    async def run(self, run_id: str) -> Mapping[str, Any]:
        told: Mapping[str, Any] = await self._asked("GET", f"/v1/runs/{run_id}")
        return told

    async def cancel(self, agent: str, run_id: str) -> None:
        told = await self._asked("POST", f"/v1/agents/{agent}/messages/cancel", {"run_ids": [run_id]})
        assert told[run_id] in ("cancelled", "failed")

    async def texts(self, run_id: str) -> list[str]:
        return [message["content"] for message in await self._asked("GET", f"/v1/runs/{run_id}/messages")]

    async def follow(self, run_id: str, after: int = 0) -> AsyncIterator[Place]:
        path, body = f"/v1/runs/{run_id}/stream", {"starting_after": after}
        number, ended = after, False
        async with self._http.stream("POST", path, json=body) as response:
            assert response.status_code == 200, await response.aread()
            async for line in response.aiter_lines():
                if line.startswith("id:"):
                    number = int(line[3:])
                elif line == "data: [DONE]":
                    ended = True
                elif line.startswith("data:") and json.loads(line[5:])["message_type"] != "ping":
                    yield Place(number, line)
        assert ended, "the stream was cut"

    async def _asked(self, method: str, path: str, body: Any = None, member: str = "") -> Any:
        response = await self._http.request(method, path, json=body)
        response.raise_for_status()
        return response.json()[member] if member else response.json()


def _said(text: str, otid: str) -> v1.InputMessage:
    message = v1.MessageCreate(role=v1.ROLE_USER, content=v1.Content(text=text))
    if otid:
        message.otid = otid
    return v1.InputMessage(message=message)


Open = Callable[[str, str], AbstractAsyncContextManager[Door]]
"""(gRPC address, HTTP address): a client of one of them."""


@asynccontextmanager
async def over_grpc(grpc_address: str, http_address: str) -> AsyncIterator[Door]:
    async with calling(grpc_address) as caller:
        yield Grpc(caller)


@asynccontextmanager
async def over_rest(grpc_address: str, http_address: str) -> AsyncIterator[Door]:
    async with httpx.AsyncClient(base_url=f"http://{http_address}", timeout=PATIENCE_S) as http:
        yield Rest(http)


DOORS: dict[str, Open] = {"grpc": over_grpc, "rest": over_rest}
