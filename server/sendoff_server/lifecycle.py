"""What may become of a run: pure rules over `sendoff.v1`.

    created --> running --> completed | failed | cancelled

A cancel may also end a run that is only created. Nothing leaves a terminal status.
"""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from sendoff import v1
from sendoff_server import ids
from sendoff_server.clock import nanoseconds, timestamp
from sendoff_server.store.items import LeftOut
from sendoff_server.store.port import INPUT_PLACE, POSITION_SHIFT, TURN_SHIFT
from sendoff_server.store.questions import DEFAULT_EVENT_TYPES

TERMINAL = frozenset({v1.RUN_STATUS_COMPLETED, v1.RUN_STATUS_FAILED, v1.RUN_STATUS_CANCELLED})

_COMPLETED = frozenset(
    {
        v1.STOP_REASON_END_TURN,
        v1.STOP_REASON_MAX_STEPS,
        v1.STOP_REASON_TOOL_RULE,
        v1.STOP_REASON_REQUIRES_APPROVAL,
        v1.STOP_REASON_TOOL_OUTCOME_UNKNOWN,
    }
)
_CANCELLED = frozenset({v1.STOP_REASON_CANCELLED, v1.STOP_REASON_SUPERSEDED})

OUTPUT_SLOTS_PER_STEP = 1 << 10
"""Places inside a run: what comes before the first model call takes the first this many, step n the n-th this many
after them."""
APPROVAL_PLACE, SETTLEMENT_PLACE = 0, 1
"""Of what settles calls of earlier runs: the answers to pending actions, and the returns. Input follows, 1000 messages
at most."""
MAX_PARTS = 1_000
"""Of an answer. A part's place in its step is its index."""
REQUEST_PLACE, RETURN_PLACE, NUDGE_PLACE = 1_000, 1_001, 1_002
"""Places in a step of what follows the answer: calls that wait, returns, and why the run does not end."""
_COMPACTION_SLOTS = 16
"""Places in front of a step's own."""


NOBODY_ANSWERED = "nobody answered in time"
"""Why the server itself answers a pending action. Such an answer is told from a caller's by it, and by the deadline."""


def is_terminal(run: v1.Run) -> bool:
    return run.status in TERMINAL


def log_fields(tenant: str, run: v1.Run) -> dict[str, str]:
    """What every log line about a run tells of it."""
    fields = {"run_id": run.id, "agent_id": run.agent_id, "tenant": tenant}
    return {**fields, "conversation_id": run.conversation_id} if run.conversation_id else fields


def starts(run: v1.Run, events: Sequence[v1.RunEvent]) -> bool:
    """Whether the run starts with these. Events of one progress have the time of the first of them."""
    return bool(events) and run.attempt == 1 and events[0].event_time == run.start_time


def status_for(reason: v1.StopReason.ValueType) -> v1.RunStatus.ValueType:
    """The status with which a run ends for that reason."""
    if reason in _COMPLETED:
        return v1.RUN_STATUS_COMPLETED
    return v1.RUN_STATUS_CANCELLED if reason in _CANCELLED else v1.RUN_STATUS_FAILED


def left_out_by(run: v1.Run, *, answered: bool) -> LeftOut:
    """What models are not shown any more of a run that has ended so: what led to nothing but a failure would lead the
    next run to the same one."""
    failed = run.status == v1.RUN_STATUS_FAILED and not answered
    return LeftOut.CONTEXT if failed else LeftOut.NOTHING


def lane_of(run: v1.Run) -> str:
    """The lane that a run belongs to: its conversation's, or its agent's for the default conversation."""
    return run.conversation_id or run.agent_id


def model_of(request: v1.CreateMessageAsyncRequest, conversation: v1.Conversation | None, agent: v1.Agent) -> str:
    """The model that works on a request; None for the default conversation."""
    of_conversation = conversation.model if conversation is not None else ""
    return request.override_model or of_conversation or agent.model


def new_run(
    request: v1.CreateMessageAsyncRequest, request_id: str, now_ns: int, run_id: str = "", *, background: bool = True
) -> v1.Run:
    """The run that a request makes: CREATED, with event 1. Without an id it is one that would be made."""
    run = v1.Run(
        id=run_id,
        turn_id=run_id,
        last_sequence=1,
        etag="1",
        agent_id=request.agent_id,
        conversation_id=request.conversation_id if request.HasField("conversation_id") else None,
        status=v1.RUN_STATUS_CREATED,
        phase=v1.RUN_PHASE_QUEUED,
        background=background,
        labels=request.labels,
        request_config=_request_config(request),
        create_time=timestamp(now_ns),
        request_id=request_id,
    )
    if request.scheduling.fairness_key:
        run.fairness_key = request.scheduling.fairness_key
    if request.HasField("metadata"):
        run.metadata.CopyFrom(request.metadata)
    if request.HasField("callback_url"):
        run.callback.CopyFrom(_callback(request))
    return run


_CREATED = v1.RunStateChanged(status=v1.RUN_STATUS_CREATED, phase=v1.RUN_PHASE_QUEUED)


def first_event(run: v1.Run) -> v1.RunEvent:
    """Event 1 of a new run's log."""
    return v1.RunEvent(run_id=run.id, sequence=1, event_time=run.create_time, state_changed=_CREATED)


def _callback(request: v1.CreateMessageAsyncRequest) -> v1.CallbackSummary:
    callback = v1.CallbackSummary(url=request.callback_url)
    if request.HasField("callback"):
        options = request.callback
        callback.event_types.extend(options.event_types or DEFAULT_EVENT_TYPES)
        callback.include_run = options.include_run
        if options.HasField("secret_id"):
            callback.secret_id = options.secret_id
    return callback


def _request_config(request: v1.CreateMessageAsyncRequest) -> v1.RequestConfig:
    config = v1.RequestConfig(
        use_assistant_message=request.use_assistant_message if request.HasField("use_assistant_message") else True,
        assistant_message_tool_name=request.assistant_message_tool_name or "send_message",
        assistant_message_tool_kwarg=request.assistant_message_tool_kwarg or "message",
    )
    if request.HasField("include_return_message_types"):
        config.include_return_message_types.CopyFrom(request.include_return_message_types)
    return config


def elapsed_ns(run: v1.Run, now_ns: int) -> int:
    """Nanoseconds from the run's accept until now; never negative, though clocks may step back."""
    return max(0, now_ns - nanoseconds(run.create_time))


# ---- input ----


def input_of(request: v1.CreateMessageAsyncRequest) -> Sequence[v1.MessageCreate]:
    """The messages that a request brings for the agent to read."""
    if request.WhichOneof("payload") == "input":
        return [v1.MessageCreate(role=v1.ROLE_USER, content=request.input)]
    return [message.message for message in request.messages.messages if message.HasField("message")]


def decisions_of(request: v1.CreateMessageAsyncRequest) -> Sequence[v1.ActionDecision] | None:
    """The answers to pending actions that a request brings; None for one that brings none."""
    if not request.messages.messages:
        return None
    first = request.messages.messages[0]
    if first.HasField("tool_return"):
        return [v1.ActionDecision(tool=each) for each in first.tool_return.tool_returns]
    return first.approval.approvals if first.HasField("approval") else None


def client_otids(request: v1.CreateMessageAsyncRequest) -> Sequence[str]:
    """The OTIDs of a request if every one of its messages has one; else none, because then they name no request."""
    otids = [_otid_of(message) for message in request.messages.messages]
    return otids if otids and all(otids) else ()


def _otid_of(message: v1.InputMessage) -> str:
    kind = message.WhichOneof("kind")
    return getattr(message, kind).otid if kind else ""


def input_messages(run: v1.Run, request: v1.CreateMessageAsyncRequest, seq: int) -> list[v1.Message]:
    """The input of a run as entries of its conversation. Equal whenever it is made, so that repeated work writes the
    same."""
    return [
        _entry(
            run,
            create,
            ids.derive("message", run.id, "input", index),
            run.create_time,
            (seq << POSITION_SHIFT) + INPUT_PLACE + index,
        )
        for index, create in enumerate(input_of(request))
    ]


def _entry(run: v1.Run, create: v1.MessageCreate, message_id: str, at: Timestamp, position: int) -> v1.Message:
    message = v1.Message(
        id=message_id,
        create_time=at,
        agent_id=run.agent_id,
        run_id=run.id,
        otid=create.otid or ids.otid(message_id, 0),
        position=position,
    )
    if run.HasField("conversation_id"):
        message.conversation_id = run.conversation_id
    for name in ("name", "sender_id"):
        if create.HasField(name):
            setattr(message, name, getattr(create, name))
    content = _plain(create.content)
    if create.role == v1.ROLE_SYSTEM:
        message.system_message.content = text_of(content)
    elif create.role == v1.ROLE_ASSISTANT:
        message.assistant_message.content.CopyFrom(content)
    else:
        message.user_message.content.CopyFrom(content)
    return message


def _plain(content: v1.Content) -> v1.Content:
    """One lone text part equals a plain string."""
    parts = content.parts.parts
    if len(parts) == 1 and parts[0].HasField("text") and not parts[0].text.HasField("signature"):
        return v1.Content(text=parts[0].text.text)
    return content


def text_of(content: v1.Content, between: str = "\n\n") -> str:
    """The text of a content, that of its parts joined."""
    if content.HasField("text"):
        return content.text
    return between.join(part.text.text for part in content.parts.parts if part.HasField("text"))


def began(seq: int) -> int:
    """The first position of a run; those of earlier runs are smaller."""
    return seq << POSITION_SHIFT


def turn_began(seq: int) -> int:
    """The first position of the turn that a run belongs to."""
    return seq >> TURN_SHIFT << TURN_SHIFT + POSITION_SHIFT


def place_of(entry: v1.Message) -> int:
    """Where an entry stands inside its run."""
    return entry.position & ((1 << POSITION_SHIFT) - 1)


def output_position(seq: int, step_index: int, place: int) -> int:
    """Where an entry that a step wrote stands in the conversation."""
    return began(seq) + (step_index + 1) * OUTPUT_SLOTS_PER_STEP + place


def compaction_position(seq: int, step_index: int) -> int:
    """Where the first entry stands that a compaction before that step writes; more may follow."""
    return output_position(seq, step_index, 0) - _COMPACTION_SLOTS
