"""The two doors of a server, as promises see them: accept, answer, read, cancel, follow.

Requests are told as the JSON of the API. The REST door is sent it as it is; over gRPC goes the message that it stands
for, through the generated client.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc.aio
import httpx

from sendoff import v1
from sendoff_server.gateway.nouns.messages import message_json
from sendoff_server.gateway.routes.sending_async import message_request
from tests.faults.caller import PATIENCE_S, Caller, Refusal, calling

Json = dict[str, Any]


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
    """What a refusal tells, in the words of either door."""

    def __init__(
        self, kind: str, reason: str, text: str, retry_after_s: float | None, named: Collection[str] = ()
    ) -> None:
        super().__init__(f"{kind} {reason}: {text}")
        self.kind = kind
        """The name of the gRPC status; over REST that of the HTTP status, by the table of errors."""
        self.reason = reason
        self.text = text
        self.retry_after_s = retry_after_s
        self.named = named
        """Values that it tells beside its text."""


class Door(ABC):
    """Calls of one client through one door."""

    @abstractmethod
    async def agent(self, model: str = "scripted/script") -> str: ...

    @abstractmethod
    async def sent(self, agent: str, body: Json, *, key: str = "") -> Accepted:
        """The answer to an asynchronous message request. Raises Refused."""

    async def send(self, agent: str, text: str, *, key: str = "", otid: str = "", **more: Any) -> Accepted:
        """The same for one message of a user."""
        message = {"role": "user", "content": text, **({"otid": otid} if otid else {})}
        return await self.sent(agent, {"messages": [message], **more}, key=key)

    async def answer(self, agent: str, *answers: Json) -> Accepted:
        """Answers to what is pending."""
        return await self.sent(agent, {"messages": [{"type": "approval", "approvals": list(answers)}]})

    @abstractmethod
    async def run(self, run_id: str) -> Mapping[str, Any]:
        """All that the door tells of a run; `status` and `stop_reason` in the words of the API. Raises Refused."""

    @abstractmethod
    async def cancel(self, agent: str, run_id: str) -> None: ...

    @abstractmethod
    async def entries(self, run_id: str) -> list[Json]:
        """The run's messages as the API shows them. Raises Refused."""

    @abstractmethod
    async def history(self, agent: str) -> list[Json]:
        """The messages of the agent's default conversation, in order."""

    @abstractmethod
    async def pending(self, agent: str) -> list[str]:
        """The ids of the agent's calls that wait for an answer."""

    @abstractmethod
    def follow(self, run_id: str, after: int = 0) -> AsyncIterator[Place]:
        """The events of a run behind that number, to its end."""

    @abstractmethod
    async def log(self, run_id: str) -> list[Json]:
        """The whole log: sequence and type of each event. Raises Refused."""

    @abstractmethod
    async def deleted(self, agent: str) -> None: ...

    async def texts(self, run_id: str) -> list[str]:
        """What the run's messages say, in order."""
        return [entry.get("content", "") for entry in await self.entries(run_id)]

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

    async def sent(self, agent: str, body: Json, *, key: str = "") -> Accepted:
        metadata = (("idempotency-key", key),) if key else ()
        call = self._caller.runs.CreateMessageAsync(message_request(body, agent), metadata=metadata, timeout=PATIENCE_S)
        run = await _answered(call)
        return Accepted(run.id, dict(await call.initial_metadata() or ()).get("idempotency-replayed") == "true")

    async def run(self, run_id: str) -> Mapping[str, Any]:
        run = await _answered(self._caller.get(run_id))
        reason = v1.StopReason.Name(run.stop_reason).removeprefix("STOP_REASON_").lower()
        status = v1.RunStatus.Name(run.status).removeprefix("RUN_STATUS_").lower()
        return {"status": status, "stop_reason": reason, "all": run.SerializeToString(deterministic=True)}

    async def cancel(self, agent: str, run_id: str) -> None:
        await _answered(self._caller.cancel(run_id))

    async def entries(self, run_id: str) -> list[Json]:
        return [message_json(message) for message in await _answered(self._caller.messages(run_id))]

    async def history(self, agent: str) -> list[Json]:
        wanted = v1.ListMessagesRequest(conversation_id="default", agent_id=agent, page_size=1_000)
        wanted.order_by = "position asc"
        listed = await self._caller.conversations.ListMessages(wanted, timeout=PATIENCE_S)
        return [message_json(message) for message in listed.messages]

    async def pending(self, agent: str) -> list[str]:
        wanted = v1.ListPendingActionsRequest(agent_id=agent)
        listed = await self._caller.actions.ListPendingActions(wanted, timeout=PATIENCE_S)
        return [action.tool_call_id for action in listed.actions]

    async def follow(self, run_id: str, after: int = 0) -> AsyncIterator[Place]:
        async for frame in self._caller.watch(run_id, after_sequence=after):
            if frame.HasField("event"):
                yield Place(frame.event.sequence, str(frame.event))

    async def log(self, run_id: str) -> list[Json]:
        events = await _answered(self._caller.log(run_id))
        return [{"sequence": event.sequence, "type": _type(event)} for event in events]

    async def deleted(self, agent: str) -> None:
        await self._caller.agents.DeleteAgent(v1.DeleteAgentRequest(agent_id=agent), timeout=PATIENCE_S)


async def _answered(call: Any) -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        told = Refusal(error)
        raise Refused(
            told.code.name, told.reason, error.details() or "", told.retry_after_s, told.metadata.values()
        ) from None


def _type(event: v1.RunEvent) -> str:
    """As the REST door tells it: of an entry, what kind of entry it is."""
    name = event.WhichOneof("event") or ""
    return event.message.WhichOneof("kind") or "" if name == "message" else name


class Rest(Door):
    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def agent(self, model: str = "scripted/script") -> str:
        return str((await self._asked("POST", "/v1/agents/", {"model": model, "include_base_tools": False}))["id"])

    async def sent(self, agent: str, body: Json, *, key: str = "") -> Accepted:
        headers = {"idempotency-key": key} if key else {}
        response = await self._http.post(f"/v1/agents/{agent}/messages/async", json=body, headers=headers)
        return Accepted(_told(response)["id"], response.headers.get("idempotency-replayed") == "true")

    async def run(self, run_id: str) -> Mapping[str, Any]:
        told: Mapping[str, Any] = await self._asked("GET", f"/v1/runs/{run_id}")
        return told

    async def cancel(self, agent: str, run_id: str) -> None:
        told = await self._asked("POST", f"/v1/agents/{agent}/messages/cancel", {"run_ids": [run_id]})
        assert told[run_id] in ("cancelled", "failed")

    async def entries(self, run_id: str) -> list[Json]:
        told: list[Json] = await self._asked("GET", f"/v1/runs/{run_id}/messages")
        return told

    async def history(self, agent: str) -> list[Json]:
        told = await self._asked("GET", f"/v1/agents/{agent}/messages?conversation_id=default&limit=1000&order=asc")
        return [entry for entry in told if entry["message_type"] != "system_message"]

    async def pending(self, agent: str) -> list[str]:
        return [each["tool_call_id"] for each in (await self._asked("GET", f"/v1/actions?agent_id={agent}"))["actions"]]

    async def follow(self, run_id: str, after: int = 0) -> AsyncIterator[Place]:
        path, body = f"/v1/runs/{run_id}/stream", {"starting_after": after}
        number, ended = after, False
        async with self._http.stream("POST", path, json=body) as response:
            if response.status_code != 200:
                await response.aread()
                _told(response)
            async for line in response.aiter_lines():
                if line.startswith("id:"):
                    number = int(line[3:])
                elif line == "data: [DONE]":
                    ended = True
                elif line.startswith("data:") and json.loads(line[5:])["message_type"] != "ping":
                    yield Place(number, line)
        assert ended, "the stream was cut"

    async def log(self, run_id: str) -> list[Json]:
        events = (await self._asked("GET", f"/v1/runs/{run_id}/events"))["events"]
        return [{"sequence": event["sequence"], "type": event["type"]} for event in events]

    async def deleted(self, agent: str) -> None:
        await self._asked("DELETE", f"/v1/agents/{agent}")

    async def _asked(self, method: str, path: str, body: Any = None) -> Any:
        return _told(await self._http.request(method, path, json=body))


_KINDS = {404: "NOT_FOUND", 413: "INVALID_ARGUMENT", 422: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED"}
"""What the table of errors has over gRPC where REST has this; conflicts have several."""


def _told(response: httpx.Response) -> Any:
    """The answer's body. Raises Refused."""
    told = response.json()
    if response.is_error:
        detail = told["detail"] if isinstance(told["detail"], dict) else {"message": told["detail"]}
        retry = response.headers.get("retry-after")
        kind = _KINDS.get(response.status_code, str(response.status_code))
        retry_after_s = float(retry) if retry is not None else None
        raise Refused(kind, told.get("reason", ""), detail["message"], retry_after_s, detail.values())
    return told


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


# ---- what they are told ----


def approves(call_id: str) -> Json:
    return {"type": "approval", "tool_call_id": call_id, "approve": True}


def denies(call_id: str) -> Json:
    return {"type": "approval", "tool_call_id": call_id, "approve": False}


def gives(call_id: str, text: str) -> Json:
    """The result of a client's tool."""
    return {"type": "tool", "tool_call_id": call_id, "status": "success", "tool_return": text}


def calls_of(entries: Sequence[Json]) -> list[str]:
    """The ids of all calls in these messages."""
    return [call["tool_call_id"] for each in entries for call in each.get("tool_calls", ())]


def returns_of(entries: Sequence[Json]) -> dict[str, str]:
    """By the ids of their calls: the statuses of all returns in these messages."""
    returned = [
        one for each in entries if each["message_type"] == "tool_return_message" for one in each["tool_returns"]
    ]
    return {one["tool_call_id"]: one["status"] for one in returned}
