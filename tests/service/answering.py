"""Runs that stop for answers, and what callers answer."""

from __future__ import annotations

from typing import Any

from sendoff import v1
from tests.faults.caller import PATIENCE_S, Caller, script
from tests.faults.run_log import check_log
from tests.fixtures.tools import Workshop, says

ASKS = (v1.RUN_STATUS_COMPLETED, v1.STOP_REASON_REQUIRES_APPROVAL)
DONE = (v1.RUN_STATUS_COMPLETED, v1.STOP_REASON_END_TURN)
MINE = [v1.ClientTool(name="mine")]
"""A tool that runs at the caller."""


def furnish(workshop: Workshop) -> None:
    """One tool that needs an approval, and one that does not."""
    workshop.has("risky", says("it is done"), requires_approval=True)
    workshop.has("plain", says("it is plain"))


def calling(*names: str, then: str = "all right") -> str:
    """What makes the model call these tools, and then say so."""
    return script(steps=[{"tool_calls": [{"name": name, "arguments": {"of": name}} for name in names]}, {"text": then}])


async def stopped(caller: Caller, agent: str, *names: str, **fields: Any) -> v1.Run:
    """A run that has stopped for these calls; a call of "mine" is one of a tool of the caller."""
    if "mine" in names:
        fields["client_tools"] = MINE
    run = await caller.ended((await caller.send(agent, calling(*names), **fields)).id)
    assert end(run) == ASKS, run
    check_log(run, await caller.log(run.id))
    return run


def end(run: v1.Run) -> tuple[v1.RunStatus.ValueType, v1.StopReason.ValueType]:
    return run.status, run.stop_reason


def approve(run: v1.Run, index: int = 0, **fields: Any) -> v1.ActionDecision:
    return v1.ActionDecision(approval=v1.Approval(tool_call_id=call_id(run, index), approve=True, **fields))


def deny(run: v1.Run, index: int = 0, reason: str | None = None) -> v1.ActionDecision:
    return v1.ActionDecision(approval=v1.Approval(tool_call_id=call_id(run, index), approve=False, reason=reason))


def give(run: v1.Run, index: int = 0, text: str = "from outside") -> v1.ActionDecision:
    returned = v1.ToolReturn(
        tool_call_id=call_id(run, index), status=v1.TOOL_RETURN_STATUS_SUCCESS, tool_return=v1.Content(text=text)
    )
    return v1.ActionDecision(tool=returned)


def call_id(run: v1.Run, index: int = 0) -> str:
    return run.pending_actions[index].tool_call_id


def answers(agent: str, *decisions: v1.ActionDecision, behind: str = "", **fields: Any) -> v1.CreateMessageAsyncRequest:
    first = v1.InputMessage(approval=v1.ApprovalCreate(approvals=decisions))
    return answering(agent, first, behind, **fields)


def answering(agent: str, first: v1.InputMessage, behind: str = "", **fields: Any) -> v1.CreateMessageAsyncRequest:
    messages = [first]
    if behind:
        said = v1.MessageCreate(role=v1.ROLE_USER, content=v1.Content(text=behind))
        messages.append(v1.InputMessage(message=said))
    return v1.CreateMessageAsyncRequest(agent_id=agent, messages=v1.InputMessages(messages=messages), **fields)


async def answer(caller: Caller, request: v1.CreateMessageAsyncRequest) -> v1.Run:
    """The run that continues, once it has ended."""
    run = await caller.ended((await caller.runs.CreateMessageAsync(request, timeout=PATIENCE_S)).id)
    check_log(run, await caller.log(run.id))
    return run


async def respond(
    caller: Caller, agent: str, *decisions: v1.ActionDecision, **fields: Any
) -> v1.RespondToActionsResponse:
    request = v1.RespondToActionsRequest(conversation_id="default", agent_id=agent, decisions=decisions, **fields)
    return await caller.actions.RespondToActions(request, timeout=PATIENCE_S)


async def pending(caller: Caller, **filters: Any) -> list[v1.PendingAction]:
    """All that waits, page by page."""
    found: list[v1.PendingAction] = []
    ask = v1.ListPendingActionsRequest(**filters)
    while True:
        page = await caller.actions.ListPendingActions(ask, timeout=PATIENCE_S)
        found += page.actions
        if not page.next_page_token:
            return found
        ask.page_token = page.next_page_token


async def returns(caller: Caller, run: v1.Run) -> list[tuple[str, bool]]:
    """The text of each tool return that a run wrote, and whether it is an error."""
    messages = await caller.messages(run.id)
    found = [each for message in messages for each in message.tool_return_message.tool_returns]
    return [(each.tool_return.text, each.status == v1.TOOL_RETURN_STATUS_ERROR) for each in found]


async def resolved(caller: Caller, run: v1.Run) -> list[str]:
    """Who answered, of each action that a run settled."""
    return [e.action_resolved.resolved_by for e in await caller.log(run.id) if e.HasField("action_resolved")]
