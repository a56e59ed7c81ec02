"""What must be so of every history that a model is shown, and of what a conversation lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ToolCallPart, ToolReturnPart, UserPromptPart

from sendoff import v1
from sendoff_server.models.dialect import Dialect
from sendoff_server.models.mapping import history
from sendoff_server.models.port import ModelCall
from sendoff_server.models.tool_returns import UNKNOWN
from sendoff_server.store.port import INPUT_PLACE, POSITION_SHIFT

DIALECTS = [
    Dialect(system="openai"),
    Dialect(system="anthropic", signs_reasoning=True, images_in_returns=True, marks_errors=True),
]
_BEGINS = ("user_message", "system_message", "summary_message")


def faults_of_call(call: ModelCall) -> list[str]:
    """What is wrong with the history of a model call; empty if it is valid."""
    faults = faults_of_history(call.messages)
    for dialect in DIALECTS:
        try:
            written = history(call, dialect)
        except Exception as error:
            faults.append(f"{dialect.system} does not take it: {error}")
        else:
            faults += [f"{dialect.system}: {fault}" for fault in faults_of_request(written)]
    if not faults:
        return []
    told = " ".join(_shown(message) for message in call.messages)
    return [f"run {call.run_id}: {fault} in {told}" for fault in faults]


def faults_of_history(entries: Sequence[v1.Message]) -> list[str]:
    """Each call has exactly one return, directly behind its answer; there are no others."""
    faults: list[str] = []
    if not entries or entries[0].WhichOneof("kind") not in _BEGINS:
        faults.append("begins with something else than a spoken turn")
    made: set[str] = set()
    unreturned: set[str] = set()
    answer = ""
    for entry in entries:
        kind = entry.WhichOneof("kind")
        if kind in ("tool_call_message", "approval_request_message"):
            if unreturned and entry.step_id != answer:
                faults.append(f"an answer before the returns of {sorted(unreturned)}")
            answer = entry.step_id
            for call in [*entry.tool_call_message.tool_calls, *entry.approval_request_message.tool_calls]:
                if call.tool_call_id in made:
                    faults.append(f"two calls {call.tool_call_id}")
                made.add(call.tool_call_id)
                unreturned.add(call.tool_call_id)
        elif kind == "tool_return_message":
            for returned in entry.tool_return_message.tool_returns:
                if returned.tool_call_id not in unreturned:
                    faults.append(f"a return of {returned.tool_call_id}, which is not open")
                unreturned.discard(returned.tool_call_id)
        elif unreturned and kind != "approval_response_message":
            faults.append(f"{kind} before the returns of {sorted(unreturned)}")
    if unreturned:
        faults.append(f"no returns of {sorted(unreturned)}")
    return faults


def faults_of_request(messages: Sequence[ModelMessage]) -> list[str]:
    """The same of what a provider gets: requests and responses alternate, and nothing had to be made up."""
    faults: list[str] = []
    wanted: list[str] = []
    for before, message in zip([None, *messages], messages, strict=False):
        if before is not None and type(before) is type(message):
            faults.append("two of one kind in a row")
        if isinstance(message, ModelResponse):
            wanted = [part.tool_call_id for part in message.parts if isinstance(part, ToolCallPart)]
            continue
        assert isinstance(message, ModelRequest)
        returned = [part for part in message.parts if isinstance(part, ToolReturnPart)]
        if sorted(part.tool_call_id for part in returned) != sorted(wanted):
            faults.append(f"calls {wanted}, returns {[part.tool_call_id for part in returned]}")
        faults += ["a return was made up" for part in returned if part.content == UNKNOWN]
        wanted = []
    last = messages[-1] if messages else None
    if not isinstance(last, ModelRequest):
        faults.append("does not end with something to answer")
    elif not any(isinstance(part, UserPromptPart | ToolReturnPart) for part in last.parts):
        faults.append("ends without something to answer")
    return faults


def left_open(log: Sequence[v1.RunEvent]) -> str:
    """What calls an ended run has left without a return though it does not wait for them; empty if none."""
    run = log[-1].finished.run
    if run.stop_reason == v1.STOP_REASON_REQUIRES_APPROVAL:
        return ""
    entries = [event.message for event in log if event.HasField("message")]
    made = {call.tool_call_id for entry in entries for call in entry.tool_call_message.tool_calls}
    returned = {each.tool_call_id for entry in entries for each in entry.tool_return_message.tool_returns}
    return ", ".join(sorted(made - returned - {action.tool_call_id for action in run.pending_actions}))


def folded(logs: Iterable[Sequence[v1.RunEvent]]) -> list[v1.Message]:
    """The entries that logs tell of, in the order of the conversation."""
    entries = [event.message for log in logs for event in log if event.HasField("message")]
    return sorted(entries, key=lambda entry: entry.position)


def is_rolled_back_with_its_run(entry: v1.Message) -> bool:
    """Whether an entry goes when its run is rolled back; what settles calls of earlier runs stays."""
    place = entry.position & ((1 << POSITION_SHIFT) - 1)
    return place >= INPUT_PLACE


def _shown(entry: v1.Message) -> str:
    calls = [*entry.tool_call_message.tool_calls, *entry.approval_request_message.tool_calls]
    ids = [call.tool_call_id for call in calls]
    ids += [each.tool_call_id for each in entry.tool_return_message.tool_returns]
    return f"{entry.WhichOneof('kind')}@{entry.position}{ids or ''}"
