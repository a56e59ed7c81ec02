"""How each method of the contract is attacked: calls that a tenant makes with what is its own.

Whatever differs between the calls of two tenants names something of theirs; the sweep puts one tenant's into the calls
of the other, one after the other and all at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sendoff import v1
from tests.faults.caller import script
from tests.tenants.belongings import FIRST_PAGES, PICTURE, Belongings, Question

SEEING = "openai/small"
"""A model that looks at pictures."""
Calls = Sequence[Sequence[Any]]
"""Calls of one method, each with its requests: one, or those of a stream."""


def calls_of(mine: Belongings) -> Mapping[str, Calls]:
    """By method; what spoils something for the calls behind it comes last."""
    told = {
        **_reads(mine),
        **_lists(mine),
        **_watching(mine),
        **_sending(mine),
        **_making(mine),
        **_changing(mine),
        **_ending(mine),
    }
    return {name: [call if isinstance(call, tuple) else (call,) for call in calls] for name, calls in told.items()}


def _reads(mine: Belongings) -> dict[str, Sequence[Any]]:
    return {
        "ActionService/ListPendingActions": [
            v1.ListPendingActionsRequest(agent_id=mine.agent),
            v1.ListPendingActionsRequest(conversation_id=mine.questions[0].conversation),
            v1.ListPendingActionsRequest(agent_id=mine.agent, conversation_id=mine.questions[0].conversation),
            v1.ListPendingActionsRequest(agent_id=mine.asker, conversation_id="default"),
            v1.ListPendingActionsRequest(run_id=mine.questions[0].run),
            _paged(FIRST_PAGES["ActionService/ListPendingActions"], mine.tokens["ActionService/ListPendingActions"]),
        ],
        "AgentService/GetAgent": [v1.GetAgentRequest(agent_id=mine.agent)],
        "AgentService/CompileSystem": [
            v1.CompileSystemRequest(agent_id=mine.agent),
            v1.CompileSystemRequest(agent_id=mine.agent, conversation_id=mine.conversation),
        ],
        "BlockService/GetBlock": [v1.GetBlockRequest(block_id=mine.block)],
        "CallbackService/GetEndpoint": [
            v1.GetEndpointRequest(endpoint_id=each) for each in (mine.endpoint, mine.mailbox)
        ],
        "CallbackService/GetDelivery": [
            v1.GetDeliveryRequest(delivery_id=each) for each in (mine.delivery, mine.pulled)
        ],
        "ConversationService/GetConversation": [
            v1.GetConversationRequest(conversation_id=each)
            for each in (mine.conversation, mine.questions[0].conversation)
        ],
        "ConversationService/GetConversationContext": [
            v1.GetConversationContextRequest(conversation_id=mine.conversation),
            v1.GetConversationContextRequest(conversation_id=mine.conversation, agent_id=mine.agent),
            v1.GetConversationContextRequest(conversation_id="default", agent_id=mine.agent),
        ],
        "ConversationService/GetMessage": [
            v1.GetMessageRequest(message_id=each) for each in (mine.message, mine.questions[0].message)
        ],
        "FileService/GetFile": [
            v1.GetFileRequest(file_id=mine.file),
            v1.GetFileRequest(file_id=mine.file, include_data=True),
        ],
        "ModelService/ListModels": [v1.ListModelsRequest()],
        "OpsService/GetServerInfo": [v1.GetServerInfoRequest()],
        "OpsService/GetQueueStats": [
            v1.GetQueueStatsRequest(),
            v1.GetQueueStatsRequest(fairness_key=mine.named("share")),
        ],
        "OpsService/ListDispatchPauses": [v1.ListDispatchPausesRequest()],
        "OpsService/ListAuditEntries": [
            v1.ListAuditEntriesRequest(),
            v1.ListAuditEntriesRequest(key_id=mine.named("key")),
            v1.ListAuditEntriesRequest(resource_id=mine.agent),
            _paged(FIRST_PAGES["OpsService/ListAuditEntries"], mine.tokens["OpsService/ListAuditEntries"]),
        ],
        "RunService/GetRun": [
            v1.GetRunRequest(run_id=each) for each in (mine.run, mine.questions[0].run, mine.queued, mine.paused)
        ],
        "RunService/ListRunEvents": [v1.ListRunEventsRequest(run_id=each) for each in (mine.run, mine.queued)],
        "RunService/ListRunMessages": [
            v1.ListRunMessagesRequest(run_id=mine.run),
            v1.ListRunMessagesRequest(run_id=mine.run, newer_than_message_id=mine.message),
            v1.ListRunMessagesRequest(run_id=mine.run, older_than_message_id=mine.message),
            _paged(v1.ListRunMessagesRequest(run_id=mine.run, page_size=1), mine.tokens["RunService/ListRunMessages"]),
        ],
        "RunService/ExplainRun": [
            v1.ExplainRunRequest(run_id=each) for each in (mine.queued, mine.paused, mine.questions[0].run)
        ],
        "StepService/GetStep": [v1.GetStepRequest(step_id=mine.step)],
        "StepService/ListStepMessages": [v1.ListStepMessagesRequest(step_id=mine.step)],
        "ToolService/GetTool": [v1.GetToolRequest(tool_id=mine.tool)],
    }


def _lists(mine: Belongings) -> dict[str, Sequence[Any]]:
    """Each with its second page, and by everything that it can be asked for."""
    named = mine.named
    told: dict[str, Sequence[Any]] = {
        "AgentService/ListAgents": [
            v1.ListAgentsRequest(),
            *(v1.ListAgentsRequest(filter=each) for each in _agent_filters(mine)),
        ],
        "AgentService/CountAgents": [
            v1.CountAgentsRequest(),
            *(v1.CountAgentsRequest(filter=each) for each in _agent_filters(mine)),
        ],
        "AgentService/ListTags": [v1.ListTagsRequest(), v1.ListTagsRequest(search=named("tag"))],
        "BlockService/ListBlocks": [
            v1.ListBlocksRequest(),
            v1.ListBlocksRequest(agent_id=mine.agent),
            v1.ListBlocksRequest(label=named("persona")),
            v1.ListBlocksRequest(label_search=named("persona")),
            v1.ListBlocksRequest(value_search=named("value")),
            v1.ListBlocksRequest(description_search=named("description")),
            v1.ListBlocksRequest(tags=[named("block-tag")]),
        ],
        "CallbackService/ListEndpoints": [v1.ListEndpointsRequest()],
        "CallbackService/ListDeliveries": [
            v1.ListDeliveriesRequest(),
            v1.ListDeliveriesRequest(run_id=mine.run),
            v1.ListDeliveriesRequest(endpoint_id=mine.endpoint),
            v1.ListDeliveriesRequest(endpoint_id=mine.mailbox),
        ],
        "ConversationService/ListConversations": [
            v1.ListConversationsRequest(),
            v1.ListConversationsRequest(agent_id=mine.agent),
            v1.ListConversationsRequest(summary_search=named("talk")),
            v1.ListConversationsRequest(after_conversation_id=mine.waiting),
        ],
        "ConversationService/ListMessages": [
            v1.ListMessagesRequest(),
            v1.ListMessagesRequest(conversation_id=mine.conversation),
            v1.ListMessagesRequest(conversation_id=mine.conversation, agent_id=mine.agent),
            v1.ListMessagesRequest(conversation_id="default", agent_id=mine.quiet),
            v1.ListMessagesRequest(agent_id=mine.agent),
            v1.ListMessagesRequest(newer_than_message_id=mine.message),
            v1.ListMessagesRequest(older_than_message_id=mine.questions[0].message),
            v1.ListMessagesRequest(agent_id=mine.agent, newer_than_message_id=mine.message),
            v1.ListMessagesRequest(conversation_id=mine.conversation, older_than_message_id=mine.message),
        ],
        "FileService/ListFiles": [v1.ListFilesRequest()],
        "RunService/ListRuns": [
            v1.ListRunsRequest(),
            v1.ListRunsRequest(agent_id=mine.agent),
            v1.ListRunsRequest(agent_ids=[mine.agent, mine.quiet]),
            v1.ListRunsRequest(conversation_id=mine.conversation),
            v1.ListRunsRequest(conversation_id="default", agent_id=mine.quiet),
            v1.ListRunsRequest(request_id=named("request")),
            v1.ListRunsRequest(otid=named("otid")),
        ],
        "StepService/ListSteps": [
            v1.ListStepsRequest(),
            v1.ListStepsRequest(run_id=mine.run),
            v1.ListStepsRequest(agent_id=mine.agent),
            v1.ListStepsRequest(tags=[named("step-tag")]),
            v1.ListStepsRequest(after_step_id=mine.step),
            v1.ListStepsRequest(before_step_id=mine.step, order_by="start_time desc"),
        ],
        "ToolService/ListTools": [
            v1.ListToolsRequest(),
            v1.ListToolsRequest(agent_id=mine.agent),
            v1.ListToolsRequest(names=[named("tool")]),
            v1.ListToolsRequest(tool_ids=[mine.tool]),
            v1.ListToolsRequest(name_search=named("tool")),
        ],
    }
    for name, calls in told.items():
        if (first := FIRST_PAGES.get(name)) is not None:
            told[name] = [*calls, _paged(first, mine.tokens[name])]
    return told


def _agent_filters(mine: Belongings) -> Sequence[v1.AgentFilter]:
    return [
        v1.AgentFilter(name=mine.named("agent")),
        v1.AgentFilter(name_search=mine.named("age")),
        v1.AgentFilter(tags=[mine.named("tag")]),
        v1.AgentFilter(agent_ids=[mine.agent, mine.quiet]),
    ]


def _paged(first: Any, token: str) -> Any:
    page = type(first)()
    page.CopyFrom(first)
    page.page_token = token
    return page


def _watching(mine: Belongings) -> dict[str, Sequence[Any]]:
    subscribe = v1.ReceiveDeliveriesRequest.Subscribe(endpoint_id=mine.mailbox)
    frame = v1.ReceiveDeliveriesRequest
    return {
        "RunService/WaitRun": [
            v1.WaitRunRequest(run_id=mine.run),
            v1.WaitRunRequest(run_id=mine.run, until=v1.WAIT_UNTIL_TURN_END),
        ],
        "RunService/WatchRun": [
            v1.WatchRunRequest(run_id=mine.run),
            v1.WatchRunRequest(run_id=mine.run, snapshot=True, include_deltas=True, follow_continuations=True),
        ],
        "CallbackService/ReceiveDeliveries": [
            (frame(subscribe=subscribe),),
            (frame(subscribe=subscribe), frame(nack=frame.Nack(delivery_id=mine.pulled))),
            (frame(subscribe=subscribe), frame(ack_delivery_id=mine.pulled)),
        ],
    }


# ---- what has effects ----


def _sending(mine: Belongings) -> dict[str, Sequence[Any]]:
    text = v1.Content(text=script(text="fine"))
    send = v1.CreateMessageAsyncRequest
    to_quiet = send(agent_id=mine.quiet, input=text)
    return {
        "RunService/CreateMessageAsync": [
            send(agent_id=mine.agent, input=text),
            send(agent_id=mine.agent, input=text, validate_only=True),
            send(agent_id=mine.agent, conversation_id=mine.conversation, input=text),
            send(conversation_id=mine.conversation, input=text),
            _with(to_quiet, request_id=mine.named("request")),
            _with(to_quiet, scheduling=v1.Scheduling(fairness_key=mine.named("share"))),
            send(agent_id=mine.quiet, messages=_said(text, mine.named("paused-otid"))),
            send(agent_id=mine.quiet, messages=_said(picture(mine)), override_model=SEEING, validate_only=True),
            _with(to_quiet, callback_url=mine.hook, callback=v1.CallbackOptions(secret_id=mine.endpoint)),
            *_answering(mine),
        ],
    }


def picture(mine: Belongings) -> v1.Content:
    """A message that shows a file."""
    shown = v1.ContentPart(image=v1.Image(letta=v1.Image.Stored(file_id=mine.file)))
    return v1.Content(parts=v1.Content.Parts(parts=[v1.ContentPart(text=v1.Text(text="Look")), shown]))


def _with(request: Any, **fields: Any) -> Any:
    changed = type(request)(**fields)
    changed.MergeFrom(request)
    return changed


def _said(content: v1.Content, otid: str | None = None) -> v1.InputMessages:
    said = v1.MessageCreate(role=v1.ROLE_USER, content=content, otid=otid)
    return v1.InputMessages(messages=[v1.InputMessage(message=said)])


def _answer(question: Question, content: v1.Content | None = None) -> v1.ToolReturn:
    content = content or v1.Content(text="given")
    return v1.ToolReturn(tool_call_id=question.call, status=v1.TOOL_RETURN_STATUS_SUCCESS, tool_return=content)


NOWHERE = Question("", "", "", "call-nowhere")
"""What nobody asks: what else an answer names is looked at, and no answer counts."""


def _answering(mine: Belongings) -> Sequence[v1.CreateMessageAsyncRequest]:
    """Answers that are sent as messages, in each of their forms."""
    first, second, third, fourth, *_ = mine.questions
    decision = v1.ActionDecision(tool=_answer(third))
    denial = v1.ActionDecision(approval=v1.Approval(tool_call_id=fourth.call, approve=False))
    otid = mine.named("otid")
    forms = [
        v1.InputMessage(approval=v1.ApprovalCreate(approve=False, approval_request_id=first.message)),
        v1.InputMessage(tool_return=v1.ToolReturnCreate(tool_returns=[_answer(second)])),
        v1.InputMessage(approval=v1.ApprovalCreate(approvals=[decision])),
        v1.InputMessage(approval=v1.ApprovalCreate(approvals=[denial])),
        v1.InputMessage(tool_return=v1.ToolReturnCreate(tool_returns=[_answer(NOWHERE)], otid=otid)),
        v1.InputMessage(approval=v1.ApprovalCreate(approvals=[v1.ActionDecision(tool=_answer(NOWHERE))], otid=otid)),
    ]
    return [
        v1.CreateMessageAsyncRequest(
            agent_id=mine.agent,
            conversation_id=question.conversation,
            messages=v1.InputMessages(messages=[form]),
        )
        for question, form in zip(mine.questions, forms, strict=False)
    ]


def _making(mine: Belongings) -> dict[str, Sequence[Any]]:
    named = mine.named
    fork = v1.ForkConversationRequest
    endpoint = v1.CallbackEndpoint(url=mine.hook)
    return {
        "AgentService/CreateAgent": [
            v1.CreateAgentRequest(agent=v1.Agent(name="new", tool_ids=[mine.tool])),
            v1.CreateAgentRequest(agent=v1.Agent(name="new", block_ids=[mine.block])),
            v1.CreateAgentRequest(agent=v1.Agent(name="new"), request_id=named("agent-request")),
        ],
        "BlockService/CreateBlock": [
            v1.CreateBlockRequest(block=v1.Block(label="new"), request_id=named("block-request")),
        ],
        "CallbackService/CreateEndpoint": [
            v1.CreateEndpointRequest(endpoint=v1.CallbackEndpoint(agent_id=mine.agent)),
            v1.CreateEndpointRequest(endpoint=endpoint, request_id=named("endpoint-request")),
        ],
        "ConversationService/CreateConversation": [
            v1.CreateConversationRequest(agent_id=mine.agent),
            v1.CreateConversationRequest(agent_id=mine.agent, request_id=named("talk-request")),
        ],
        "ConversationService/ForkConversation": [
            fork(conversation_id=mine.conversation),
            fork(conversation_id=mine.conversation, agent_id=mine.agent),
            fork(conversation_id="default", agent_id=mine.agent),
            fork(conversation_id=mine.conversation, at_message_id=mine.message),
            fork(conversation_id=mine.conversation, request_id=named("waiting-request")),
        ],
        "FileService/CreateFile": [
            v1.CreateFileRequest(file=v1.File(media_type="image/png"), data=PICTURE, request_id=named("file-request")),
        ],
        "ToolService/UpsertTool": [
            v1.UpsertToolRequest(tool=v1.Tool(name=named("tool"), type=v1.TOOL_TYPE_CLIENT), create_only=True),
            v1.UpsertToolRequest(tool=v1.Tool(name=named("tool"), type=v1.TOOL_TYPE_CLIENT, etag=mine.tool_etag)),
            v1.UpsertToolRequest(tool=v1.Tool(id=mine.tool, name="renamed", type=v1.TOOL_TYPE_CLIENT)),
        ],
    }


def _changing(mine: Belongings) -> dict[str, Sequence[Any]]:
    update = v1.UpdateAgentRequest
    return {
        "ActionService/RespondToActions": _responses(mine),
        "AgentService/UpdateAgent": [
            update(agent_id=mine.agent, agent=v1.Agent(description="new", etag=mine.etag)),
            update(agent_id=mine.quiet, agent=v1.Agent(tool_ids=[mine.tool])),
            update(agent_id=mine.quiet, agent=v1.Agent(block_ids=[mine.block])),
        ],
        "BlockService/UpdateBlock": [
            v1.UpdateBlockRequest(block_id=mine.block, block=v1.Block(value="new", etag=mine.block_etag)),
        ],
        "CallbackService/UpdateEndpoint": [
            v1.UpdateEndpointRequest(
                endpoint_id=mine.endpoint, endpoint=v1.CallbackEndpoint(description="new", etag=mine.endpoint_etag)
            ),
        ],
        "CallbackService/RotateSecret": [v1.RotateSecretRequest(endpoint_id=mine.endpoint)],
        "CallbackService/TestEndpoint": [v1.TestEndpointRequest(endpoint_id=mine.endpoint)],
        "CallbackService/Redeliver": [
            v1.RedeliverRequest(endpoint_id=mine.endpoint),
            v1.RedeliverRequest(delivery_ids=[mine.delivery]),
            v1.RedeliverRequest(delivery_ids=[mine.delivery, mine.pulled]),
        ],
        "ConversationService/UpdateConversation": [
            v1.UpdateConversationRequest(
                conversation_id=mine.conversation,
                conversation=v1.Conversation(description="new", etag=mine.conversation_etag),
            ),
        ],
        "ConversationService/CompactConversation": _of_conversation(mine, v1.CompactConversationRequest, 1),
        "ConversationService/ResetConversation": _of_conversation(mine, v1.ResetConversationRequest, 2),
        "OpsService/PauseDispatch": [
            v1.PauseDispatchRequest(fairness_key=mine.named("paused")),
            v1.PauseDispatchRequest(agent_id=mine.agent),
        ],
        "OpsService/ResumeDispatch": [
            v1.ResumeDispatchRequest(fairness_key=mine.named("resting")),
            v1.ResumeDispatchRequest(agent_id=mine.quiet),
        ],
        "StepService/UpdateStepFeedback": [
            v1.UpdateStepFeedbackRequest(step_id=mine.step, feedback=v1.STEP_FEEDBACK_NEGATIVE)
        ],
    }


def _responses(mine: Belongings) -> Sequence[Any]:
    respond = v1.RespondToActionsRequest
    *_, shown, denied, keyed, given, named = mine.questions
    answers = [v1.ActionDecision(tool=_answer(each)) for each in (given, named, NOWHERE)]
    no = v1.ActionDecision(approval=v1.Approval(tool_call_id=denied.call, approve=False))
    return [
        respond(conversation_id=given.conversation, decisions=answers[:1]),
        respond(conversation_id=named.conversation, agent_id=mine.agent, decisions=answers[1:2]),
        respond(
            conversation_id="default", agent_id=mine.asker, decisions=[v1.ActionDecision(tool=_answer(mine.asked))]
        ),
        respond(conversation_id=denied.conversation, decisions=[no]),
        respond(conversation_id=shown.conversation, decisions=[v1.ActionDecision(tool=_answer(shown, picture(mine)))]),
        respond(conversation_id=keyed.conversation, decisions=answers[2:], request_id=mine.named("question-0-sent")),
    ]


def _of_conversation(mine: Belongings, request: Any, key: int) -> Sequence[Any]:
    return [
        request(conversation_id=mine.conversation),
        request(conversation_id=mine.conversation, agent_id=mine.agent),
        request(conversation_id="default", agent_id=mine.quiet),
        request(conversation_id=mine.conversation, request_id=mine.named(f"question-{key}-sent")),
    ]


def _ending(mine: Belongings) -> dict[str, Sequence[Any]]:
    return {
        "RunService/CancelRun": [v1.CancelRunRequest(run_id=each) for each in (mine.run, mine.queued, mine.paused)],
        "RunService/DeleteRun": [v1.DeleteRunRequest(run_id=each) for each in (mine.run, mine.queued)],
        "ConversationService/DeleteConversation": [
            v1.DeleteConversationRequest(conversation_id=mine.questions[-1].conversation),
            v1.DeleteConversationRequest(conversation_id=mine.waiting, cancel_runs=True),
        ],
        "AgentService/DeleteAgent": [
            v1.DeleteAgentRequest(agent_id=mine.quiet, cancel_runs=True),
            v1.DeleteAgentRequest(agent_id=mine.agent),
        ],
        "BlockService/DeleteBlock": [v1.DeleteBlockRequest(block_id=mine.block)],
        "CallbackService/DeleteEndpoint": [
            v1.DeleteEndpointRequest(endpoint_id=each) for each in (mine.endpoint, mine.mailbox)
        ],
        "FileService/DeleteFile": [v1.DeleteFileRequest(file_id=mine.file)],
        "ToolService/DeleteTool": [v1.DeleteToolRequest(tool_id=mine.tool)],
    }
