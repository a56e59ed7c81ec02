"""What a tenant has: one of everything that can be named, and enough of each for a second page.

Every text of a tenant's holds its name, so that it is known wherever it turns up.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sendoff import v1
from tests.faults.caller import PATIENCE_S, script, seconds
from tests.tenants.over_grpc import GrpcCaller

PICTURE = b"\x89PNG\r\n\x1a\n a picture"
NEVER_STARTS_S = 300 * 24 * 3600
_DELIVERED = v1.DELIVERY_STATUS_DELIVERED


QUESTIONS = 20


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation that waits for an answer."""

    conversation: str
    run: str
    """Which asks."""
    message: str
    """In which it asks."""
    call: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Belongings:
    """Ids and names of what one tenant has."""

    tenant: str
    agent: str
    etag: str
    """Of the agent."""
    quiet: str
    """An agent whose runs are paused."""
    conversation: str
    conversation_etag: str
    run: str
    """Has ended, and has called back."""
    message: str
    """Of that run."""
    step: str
    asker: str
    """An agent whose own conversation waits for an answer."""
    asked: Question
    """In that one."""
    questions: Sequence[Question]
    """One for each way to answer, which is gone then."""
    queued: str
    """A run that waits for its start time."""
    waiting: str
    """A conversation, where that run is the only one."""
    paused: str
    """A run of `quiet`, which waits for the pause to be lifted."""
    file: str
    block: str
    block_etag: str
    tool: str
    tool_etag: str
    endpoint: str
    """Has a URL."""
    endpoint_etag: str
    hook: str
    """That URL."""
    mailbox: str
    """An endpoint without a URL."""
    delivery: str
    """Has been delivered."""
    pulled: str
    """A delivery that waits in the mailbox."""
    tokens: Mapping[str, str]
    """By method: what leads to its second page, where nothing is asked for but one entry a page."""

    def named(self, what: str) -> str:
        """A name that the tenant gave."""
        return f"{self.tenant}-{what}"

    @classmethod
    def nobodys(cls) -> Belongings:
        """Of somebody who has nothing, to see what would be asked."""
        names = {field.name: "nobody" for field in fields(cls) if field.name not in ("asked", "questions", "tokens")}
        question = Question("nobody", "nobody", "nobody", "nobody")
        return cls(**names, asked=question, questions=[question] * QUESTIONS, tokens=defaultdict(lambda: "nobody"))


class Household:
    """Makes what a tenant has."""

    def __init__(self, caller: GrpcCaller, tenant: str, hook: str) -> None:
        """`hook`: where the tenant is called back."""
        self._caller = caller
        self._tenant = tenant
        self._hook = hook

    async def furnish(self) -> Belongings:
        named = self._named
        block = await self._one(
            "BlockService/CreateBlock",
            v1.CreateBlockRequest(block=self._block("persona"), request_id=named("block-request")),
        )
        other = v1.CreateBlockRequest(block=self._block("folder", "persona"))
        in_folder = await self._one("BlockService/CreateBlock", other)
        tool = await self._one("ToolService/UpsertTool", v1.UpsertToolRequest(tool=self._tool()))
        file = await self._one("FileService/CreateFile", self._file("first", named("file-request")))
        await self._one("FileService/CreateFile", self._file("second"))
        agent = await self._one(
            "AgentService/CreateAgent",
            v1.CreateAgentRequest(
                agent=self._agent([block.id, in_folder.id], [tool.id]), request_id=named("agent-request")
            ),
        )
        quiet, asker = [
            await self._one("AgentService/CreateAgent", v1.CreateAgentRequest(agent=self._agent_named(each)))
            for each in ("quiet", "asker")
        ]
        for pause in ({"agent_id": quiet.id}, {"fairness_key": named("paused")}, {"fairness_key": named("resting")}):
            await self._one("OpsService/PauseDispatch", v1.PauseDispatchRequest(reason=named("reason"), **pause))
        endpoint = (await self._endpoint(url=self._hook, request_id=named("endpoint-request"))).endpoint
        mailbox = (await self._endpoint(agent_id=agent.id)).endpoint
        talk, waiting = [await self._conversation(agent.id, each) for each in ("talk", "waiting")]
        run = await self._ended(
            await self._send(
                agent.id,
                script(text=named("words")),
                conversation_id=talk.id,
                otid=named("otid"),
                request_id=named("request"),
                callback_url=self._hook,
                callback=v1.CallbackOptions(secret_id=endpoint.id),
            )
        )
        questions = await asyncio.gather(*(self._question(agent.id, number) for number in range(QUESTIONS)))
        later = v1.Scheduling(fairness_key=named("share"))
        later.start_time.GetCurrentTime()
        later.start_time.seconds += NEVER_STARTS_S
        queued = await self._send(agent.id, script(text=named("later")), conversation_id=waiting.id, scheduling=later)
        paused = await self._send(quiet.id, script(text=named("never")), otid=named("paused-otid"))
        messages = (await self._one("RunService/ListRunMessages", v1.ListRunMessagesRequest(run_id=run.id))).messages
        steps = (await self._one("StepService/ListSteps", v1.ListStepsRequest(run_id=run.id))).steps
        await self._one(
            "StepService/UpdateStepFeedback",
            v1.UpdateStepFeedbackRequest(
                step_id=steps[0].id, feedback=v1.STEP_FEEDBACK_POSITIVE, tags=v1.StepTags(values=[named("step-tag")])
            ),
        )
        delivered, pulled = await self._delivered(endpoint.id, 2), await self._pending(mailbox.id, 2)
        return Belongings(
            tenant=self._tenant,
            agent=agent.id,
            etag=agent.etag,
            quiet=quiet.id,
            conversation=talk.id,
            conversation_etag=talk.etag,
            run=run.id,
            message=messages[-1].id,
            step=steps[0].id,
            asker=asker.id,
            asked=await self._asked(asker.id, "default", named("asker-sent")),
            questions=questions,
            queued=queued.id,
            waiting=waiting.id,
            paused=paused.id,
            file=file.id,
            block=block.id,
            block_etag=block.etag,
            tool=tool.id,
            tool_etag=tool.etag,
            endpoint=endpoint.id,
            endpoint_etag=endpoint.etag,
            hook=self._hook,
            mailbox=mailbox.id,
            delivery=delivered[0].id,
            pulled=pulled[0].id,
            tokens=await self._tokens(run.id),
        )

    def _named(self, what: str) -> str:
        return f"{self._tenant}-{what}"

    async def _one(self, name: str, request: Any) -> Any:
        (told,) = await self._caller.told(name, request)
        return told

    # ---- what there is ----

    def _block(self, *label: str) -> v1.Block:
        named = self._named
        return v1.Block(
            label="/".join(map(named, label)),
            value=named("value"),
            description=named("description"),
            tags=[named("block-tag")],
        )

    def _tool(self) -> v1.Tool:
        schema = v1.JsonObject(json='{"type": "object", "properties": {}}')
        return v1.Tool(
            name=self._named("tool"),
            description=self._named("does"),
            type=v1.TOOL_TYPE_CLIENT,
            json_schema=schema,
            tags=[self._named("tool-tag")],
        )

    def _file(self, name: str, request_id: str | None = None) -> v1.CreateFileRequest:
        file = v1.File(name=self._named(name), media_type="image/png")
        return v1.CreateFileRequest(file=file, data=PICTURE + self._tenant.encode(), request_id=request_id)

    def _agent(self, blocks: Sequence[str], tools: Sequence[str]) -> v1.Agent:
        named = self._named
        return v1.Agent(
            name=named("agent"),
            model="scripted/script",
            system=named("system"),
            description=named("description"),
            block_ids=blocks,
            tool_ids=tools,
            tags=[named("tag"), named("other-tag")],
            metadata=v1.JsonObject(json=f'{{"of": "{self._tenant}"}}'),
        )

    def _agent_named(self, name: str) -> v1.Agent:
        return v1.Agent(name=self._named(name), model="scripted/script")

    async def _endpoint(self, request_id: str | None = None, **fields: Any) -> v1.CreateEndpointResponse:
        endpoint = v1.CallbackEndpoint(description=self._named("endpoint"), **fields)
        made = await self._one(
            "CallbackService/CreateEndpoint", v1.CreateEndpointRequest(endpoint=endpoint, request_id=request_id)
        )
        assert isinstance(made, v1.CreateEndpointResponse)
        return made

    async def _conversation(self, agent: str, what: str) -> v1.Conversation:
        named = self._named
        conversation = v1.Conversation(summary=named(what), labels={"of": self._tenant})
        request = v1.CreateConversationRequest(
            agent_id=agent, conversation=conversation, request_id=named(f"{what}-request")
        )
        made = await self._one("ConversationService/CreateConversation", request)
        assert isinstance(made, v1.Conversation)
        return made

    async def _send(self, agent: str, text: str, otid: str | None = None, **fields: Any) -> v1.Run:
        said = v1.MessageCreate(role=v1.ROLE_USER, content=v1.Content(text=text), otid=otid)
        request = v1.CreateMessageAsyncRequest(
            agent_id=agent, messages=v1.InputMessages(messages=[v1.InputMessage(message=said)]), **fields
        )
        run = await self._one("RunService/CreateMessageAsync", request)
        assert isinstance(run, v1.Run)
        return run

    async def _question(self, agent: str, number: int) -> Question:
        conversation = (await self._conversation(agent, f"question-{number}")).id
        return await self._asked(agent, conversation, self._named(f"question-{number}-sent"))

    async def _asked(self, agent: str, conversation: str, request_id: str) -> Question:
        text = script(steps=[{"tool_calls": [{"name": "mine", "arguments": {}}]}, {"text": self._named("thanks")}])
        tools = [v1.ClientTool(name="mine")]
        sent = await self._send(agent, text, request_id=request_id, conversation_id=conversation, client_tools=tools)
        run = await self._ended(sent)
        messages = (await self._one("RunService/ListRunMessages", v1.ListRunMessagesRequest(run_id=run.id))).messages
        asks = next(each.id for each in messages if each.HasField("approval_request_message"))
        return Question(conversation, run.id, asks, run.pending_actions[0].tool_call_id)

    # ---- what comes of it ----

    async def _ended(self, run: v1.Run) -> v1.Run:
        ended = await self._one("RunService/WaitRun", v1.WaitRunRequest(run_id=run.id, timeout=seconds(20)))
        assert ended.status == v1.RUN_STATUS_COMPLETED, ended
        assert isinstance(ended, v1.Run)
        return ended

    async def _delivered(self, endpoint: str, count: int) -> Sequence[v1.Delivery]:
        """Once all that goes to a URL has come."""
        return await self._found(lambda each: each.status == _DELIVERED, count, endpoint_id=endpoint)

    async def _pending(self, mailbox: str, count: int) -> Sequence[v1.Delivery]:
        """What waits to be fetched."""
        return await self._found(lambda each: True, count, endpoint_id=mailbox)

    async def _found(self, is_so: Callable[[v1.Delivery], bool], count: int, **wanted: Any) -> Sequence[v1.Delivery]:
        """These deliveries, once there are so many and all are so; oldest first."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                request = v1.ListDeliveriesRequest(**wanted)
                found = (await self._one("CallbackService/ListDeliveries", request)).deliveries
                if len(found) >= count and all(map(is_so, found)):
                    return list(found)[::-1]
                await asyncio.sleep(0.02)

    async def _tokens(self, run: str) -> Mapping[str, str]:
        pages = {**FIRST_PAGES, "RunService/ListRunMessages": v1.ListRunMessagesRequest(run_id=run, page_size=1)}
        tokens = {name: (await self._one(name, request)).next_page_token for name, request in pages.items()}
        assert all(tokens.values()), f"no second page of {[name for name, token in tokens.items() if not token]}"
        return tokens


FIRST_PAGES: Mapping[str, Any] = {
    "ActionService/ListPendingActions": v1.ListPendingActionsRequest(page_size=1),
    "AgentService/ListAgents": v1.ListAgentsRequest(page_size=1),
    "AgentService/ListTags": v1.ListTagsRequest(page_size=1),
    "BlockService/ListBlocks": v1.ListBlocksRequest(page_size=1),
    "CallbackService/ListEndpoints": v1.ListEndpointsRequest(page_size=1),
    "CallbackService/ListDeliveries": v1.ListDeliveriesRequest(page_size=1),
    "ConversationService/ListConversations": v1.ListConversationsRequest(page_size=1),
    "ConversationService/ListMessages": v1.ListMessagesRequest(page_size=1),
    "FileService/ListFiles": v1.ListFilesRequest(page_size=1),
    "OpsService/ListAuditEntries": v1.ListAuditEntriesRequest(page_size=1),
    "RunService/ListRuns": v1.ListRunsRequest(page_size=1),
    "StepService/ListSteps": v1.ListStepsRequest(page_size=1),
    "ToolService/ListTools": v1.ListToolsRequest(page_size=1),
}
"""Lists that ask for nothing but their first entry."""
