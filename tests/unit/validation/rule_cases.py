"""Every rule of the contract with a value that breaks it and one that just does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from sendoff import v1
from sendoff_server import ids

AGENT = "agent-0199c3f0-0000-4000-8000-000000000001"
RUN = "run-0199c3f0-0000-4000-8000-000000000002"
CONVERSATION = "conv-0199c3f0-0000-4000-8000-000000000003"
KIB, MIB = 1024, 1024 * 1024

Fields = dict[str, Any]
Make = Callable[[Any], Message]


@dataclass(frozen=True)
class Field:
    """The rules of one field. `make` puts a value of it into a request that is right otherwise."""

    name: str
    at: str
    """The path of the violation."""
    make: Make
    rules: Mapping[str, tuple[Any, Any]]
    """By rule, as the contract has it: a value that breaks it, and one that does not."""


# ---- requests that are right but for what is put into them ----


def create(**fields: Any) -> v1.CreateMessageAsyncRequest:
    given: Fields = {"agent_id": AGENT, "input": v1.Content(text="hi")}
    return v1.CreateMessageAsyncRequest(**given | fields)


def sending(*messages: v1.InputMessage) -> v1.CreateMessageAsyncRequest:
    return v1.CreateMessageAsyncRequest(agent_id=AGENT, messages=v1.InputMessages(messages=messages))


def said(**fields: Any) -> v1.CreateMessageAsyncRequest:
    """One message, from the assistant because that may hold every kind of part."""
    given: Fields = {"role": v1.ROLE_ASSISTANT, "content": v1.Content(text="hi")}
    return sending(v1.InputMessage(message=v1.MessageCreate(**given | fields)))


def with_parts(*parts: v1.ContentPart) -> v1.CreateMessageAsyncRequest:
    return said(content=v1.Content(parts=v1.Content.Parts(parts=parts)))


def with_image(**source: Any) -> v1.CreateMessageAsyncRequest:
    return with_parts(v1.ContentPart(image=v1.Image(**source)))


def with_picture(**fields: Any) -> v1.CreateMessageAsyncRequest:
    return with_image(base64=v1.Image.Base64(**{"data": b"x", "media_type": "image/png"} | fields))


def a_call(**fields: Any) -> v1.ContentPart:
    return v1.ContentPart(tool_call=v1.ToolCallPart(**{"id": "c", "name": "n"} | fields))


def a_return(**fields: Any) -> v1.ContentPart:
    return v1.ContentPart(tool_return=v1.ToolReturnPart(**{"tool_call_id": "c"} | fields))


def with_call(**fields: Any) -> v1.CreateMessageAsyncRequest:
    """A call and its return."""
    call = a_call(**fields)
    return with_parts(call, a_return(tool_call_id=call.tool_call.id))


def returned(**fields: Any) -> v1.ToolReturn:
    given: Fields = {"tool_call_id": "c", "status": v1.TOOL_RETURN_STATUS_SUCCESS, "tool_return": v1.Content(text="hi")}
    return v1.ToolReturn(**given | fields)


def returning(*answers: v1.ToolReturn, **fields: Any) -> v1.CreateMessageAsyncRequest:
    return sending(v1.InputMessage(tool_return=v1.ToolReturnCreate(tool_returns=answers or [returned()], **fields)))


def approving(*answers: v1.ActionDecision, **fields: Any) -> v1.CreateMessageAsyncRequest:
    return sending(v1.InputMessage(approval=v1.ApprovalCreate(approvals=answers, **fields)))


def results(count: int) -> list[v1.ActionDecision]:
    """Results of that many calls."""
    return [v1.ActionDecision(tool=returned(tool_call_id=f"c{number}")) for number in range(count)]


def approval(**fields: Any) -> v1.CreateMessageAsyncRequest:
    given: Fields = {"tool_call_id": "c", "approve": True}
    return approving(v1.ActionDecision(approval=v1.Approval(**given | fields)))


def responding(**fields: Any) -> v1.RespondToActionsRequest:
    given: Fields = {"conversation_id": "default", "agent_id": AGENT, "decisions": results(1)}
    return v1.RespondToActionsRequest(**given | fields)


def agent(**fields: Any) -> v1.CreateAgentRequest:
    return v1.CreateAgentRequest(agent=v1.Agent(**fields))


def conversation(**fields: Any) -> v1.CreateConversationRequest:
    return v1.CreateConversationRequest(agent_id=AGENT, conversation=v1.Conversation(**fields))


def block(**fields: Any) -> v1.CreateBlockRequest:
    return v1.CreateBlockRequest(block=v1.Block(**{"label": "human"} | fields))


def block_ids(count: int) -> list[str]:
    return [f"block-0199c3f0-0000-4000-8000-{number:012x}" for number in range(count)]


def tool_id(number: int) -> str:
    return ids.derive("tool", number)


def tool(**fields: Any) -> v1.UpsertToolRequest:
    given: Fields = {"name": "light", "type": v1.TOOL_TYPE_CLIENT}
    return v1.UpsertToolRequest(tool=v1.Tool(**given | fields))


def part(text: str = "hi") -> v1.ContentPart:
    return v1.ContentPart(text=v1.Text(text=text))


def labels(count: int) -> dict[str, str]:
    return {f"k{number}": "v" for number in range(count)}


def seconds(value: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(int(value * 1_000_000_000))
    return duration


# ---- rules that stand in many places ----


def characters(most: int, *, least: int = 0) -> dict[str, tuple[Any, Any]]:
    rules = {f"string.max_len = {most}": ("é" * (most + 1), "é" * most)}
    return rules | ({f"string.min_len = {least}": ("", "x" * least)} if least else {})


def size(most: int, *, least: int = 0) -> dict[str, tuple[Any, Any]]:
    rules = {f"string.max_bytes = {most}": ("é" * (most // 2) + "x", "é" * (most // 2))}
    return rules | ({f"string.min_len = {least}": ("", "x" * least)} if least else {})


def bounds(kind: str, *, least: int, most: int | None = None) -> dict[str, tuple[Any, Any]]:
    rules = {f"{kind}.gte = {least}": (least - 1, least)}
    return rules | ({f"{kind}.lte = {most}": (most + 1, most)} if most is not None else {})


def calls_with_ids() -> dict[str, tuple[Any, Any]]:
    """The size of a call's id, in calls that have a return where the id is right."""
    return {
        rule: ([a_call(id=bad)], [a_call(id=good), a_return(tool_call_id=good)])
        for rule, (bad, good) in size(256, least=1).items()
    }


def returns_with_ids() -> dict[str, tuple[Any, Any]]:
    """Likewise for returns."""
    return {
        rule: ([a_return(tool_call_id=bad)], [a_call(id=good), a_return(tool_call_id=good)])
        for rule, (bad, good) in size(256, least=1).items()
    }


def enum(good: int, *, many: bool = False) -> dict[str, tuple[Any, Any]]:
    def value(number: int) -> Any:
        return [number] if many else number

    return {
        "enum.defined_only = true": (value(1_000), value(good)),
        "enum.not_in = [0]": (value(0), value(good)),
    }


def identifier(prefix: str) -> tuple[str, str]:
    """An id that is nearly right, and one that is."""
    right = f"{prefix}-0199c3f0-0000-4000-8000-000000000001"
    return right + "\n", right


_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
AS_RUN_ID = {"as GetRunRequest.run_id": identifier("run")}
AS_AGENT_ID = {"as GetAgentRequest.agent_id": identifier("agent")}
MESSAGE = "messages.messages[0].message"
PART = f"{MESSAGE}.content.parts.parts[0]"
RETURN = "messages.messages[0].tool_return.tool_returns[0]"
DECISION = "messages.messages[0].approval.approvals[0]"

CONTENT: Sequence[Field] = (
    Field(
        "JsonObject.json",
        "agent.metadata.json",
        lambda v: agent(metadata=v1.JsonObject(json=v)),
        {
            "string.max_bytes = 1048576": (
                '{"a":"' + "é" * (512 * KIB) + '"}',
                '{"a":"' + "é" * (512 * KIB - 4) + '"}',
            ),
            "valid JSON, an object, at most 64 levels deep, no lone surrogates": ("[]", '{"a": 1}'),
        },
    ),
    Field("Text.text", f"{PART}.text.text", lambda v: with_parts(part(v)), size(4 * MIB)),
    Field(
        "Image.source",
        f"{PART}.image",
        lambda v: with_image(**v),
        {"one is required": ({}, {"url": v1.Image.Url(url="https://example.com/a.png")})},
    ),
    Field(
        "Image.Url.url",
        f"{PART}.image.url.url",
        lambda v: with_image(url=v1.Image.Url(url=v)),
        {
            "string.min_len = 1": ("", "http://a"),
            "string.max_bytes = 65536": ("http://" + "a" * 65_530, "http://" + "a" * 65_529),
            "string.uri_scheme = [http, https, data]": ("ftp://a/b", "DATA:image/png;base64,eA=="),
        },
    ),
    Field(
        "Image.Base64.data",
        f"{PART}.image.base64.data",
        lambda v: with_picture(data=v),
        {
            "bytes.min_len = 1": (b"", b"x"),
            "bytes.max_len = 20971520": (bytes(20 * MIB + 1), bytes(20 * MIB)),
        },
    ),
    Field(
        "Image.Base64.media_type",
        f"{PART}.image.base64.media_type",
        lambda v: with_picture(media_type=v),
        {'string.pattern = "^image/[a-z0-9.+-]+$"': ("image/png\n", "image/svg+xml")},
    ),
    Field(
        "Image.Base64.detail",
        f"{PART}.image.base64.detail",
        lambda v: with_picture(detail=v),
        {"string.in = [low, high, auto]": ("", "auto")},
    ),
    Field(
        "Image.Stored.file_id",
        f"{PART}.image.letta.file_id",
        lambda v: with_image(letta=v1.Image.Stored(file_id=v)),
        {"required": ("", "file-1")},
    ),
    Field("ToolCallPart.id", f"{PART}.tool_call.id", lambda v: with_parts(*v), calls_with_ids()),
    Field(
        "ToolCallPart.id",
        f"{MESSAGE}.content.parts.parts[1].tool_call.id",
        lambda v: with_parts(a_call(), a_call(id=v), a_return(), *[a_return(tool_call_id="d")] * (v == "d")),
        {"no two calls of a request have one id": ("c", "d")},
    ),
    Field("ToolCallPart.name", f"{PART}.tool_call.name", lambda v: with_call(name=v), size(256, least=1)),
    Field(
        "ToolReturnPart.tool_call_id",
        f"{PART}.tool_return.tool_call_id",
        lambda v: with_parts(*v),
        returns_with_ids(),
    ),
    Field(
        "ToolReturnPart.content",
        f"{MESSAGE}.content.parts.parts[1].tool_return.content",
        lambda v: with_parts(a_call(), a_return(content=v)),
        size(4 * MIB),
    ),
    Field(
        "ContentPart.tool_call",
        f"{PART}.tool_call",
        lambda v: with_parts(*v),
        {
            "only other calls of its message stand between it and the tool_returns of them all, in the same request": (
                [a_call(), part(), a_return()],
                [a_call(), a_call(id="d"), a_return(tool_call_id="d"), a_return(), part()],
            )
        },
    ),
    Field(
        "ContentPart.tool_return",
        f"{PART}.tool_return.tool_call_id",
        lambda v: with_parts(*v),
        {
            "its tool_call stands before it and has no other tool_return": (
                [a_return(tool_call_id="d"), a_call(), a_return()],
                [a_call(), a_return()],
            )
        },
    ),
    Field("ContentPart.part", PART, with_parts, {"one is required": (v1.ContentPart(), part())}),
    Field(
        "Content.form",
        f"{MESSAGE}.content",
        lambda v: said(content=v),
        {"one is required": (v1.Content(), v1.Content(text="hi"))},
    ),
    Field("Content.text", "input.text", lambda v: create(input=v1.Content(text=v)), size(4 * MIB, least=1)),
    Field(
        "Content.Parts.parts",
        f"{MESSAGE}.content.parts.parts",
        lambda v: with_parts(*v),
        {
            "repeated.min_items = 1": ([], [part()]),
            "repeated.max_items = 256": ([part()] * 257, [part()] * 256),
        },
    ),
)

MESSAGES: Sequence[Field] = (
    Field("MessageCreate.role", f"{MESSAGE}.role", lambda v: said(role=v), enum(v1.ROLE_SYSTEM)),
    Field(
        "MessageCreate.content",
        f"{MESSAGE}.content",
        lambda v: said(content=v),
        {"required": (None, v1.Content(text="hi"))},
    ),
    Field("MessageCreate.name", f"{MESSAGE}.name", lambda v: said(name=v), characters(255)),
    Field("MessageCreate.sender_id", f"{MESSAGE}.sender_id", lambda v: said(sender_id=v), characters(255)),
    Field("MessageCreate.group_id", f"{MESSAGE}.group_id", lambda v: said(group_id=v), characters(255)),
    Field("MessageCreate.batch_item_id", f"{MESSAGE}.batch_item_id", lambda v: said(batch_item_id=v), characters(255)),
    Field("MessageCreate.otid", f"{MESSAGE}.otid", lambda v: said(otid=v), characters(255, least=1)),
    Field(
        "ToolReturn.tool_call_id",
        f"{RETURN}.tool_call_id",
        lambda v: returning(returned(tool_call_id=v)),
        size(256, least=1),
    ),
    Field(
        "ToolReturn.status",
        f"{RETURN}.status",
        lambda v: returning(returned(status=v)),
        enum(v1.TOOL_RETURN_STATUS_ERROR),
    ),
    Field(
        "ToolReturn.tool_return",
        f"{RETURN}.tool_return",
        lambda v: returning(returned(tool_return=v)),
        {"required": (None, v1.Content(text="hi"))},
    ),
    Field(
        "Approval.tool_call_id",
        f"{DECISION}.approval.tool_call_id",
        lambda v: approval(tool_call_id=v),
        size(256, least=1),
    ),
    Field(
        "Approval.approve", f"{DECISION}.approval.approve", lambda v: approval(approve=v), {"required": (None, False)}
    ),
    Field(
        "Approval.edited_arguments",
        f"{DECISION}.approval.edited_arguments.json",
        lambda v: approval(edited_arguments=v1.JsonObject(json=v)),
        {"not empty": ("", "{}")},
    ),
    Field(
        "Approval.edited_arguments",
        f"{DECISION}.approval.edited_arguments",
        lambda v: approval(edited_arguments=v1.JsonObject(json="{}"), approve=v),
        {"only with approve": (False, True)},
    ),
    Field(
        "ActionDecision.decision",
        DECISION,
        approving,
        {"one is required": (v1.ActionDecision(), v1.ActionDecision(tool=returned()))},
    ),
    Field(
        "ApprovalCreate.approvals",
        "messages.messages[0].approval.approvals",
        lambda v: approving(*results(v)),
        {"repeated.max_items = 256": (257, 256)},
    ),
    Field(
        "ApprovalCreate.approvals",
        "messages.messages[0].approval.approvals[1].tool.tool_call_id",
        lambda v: approving(*results(1), v1.ActionDecision(tool=returned(tool_call_id=v))),
        {"no two of them for one call": ("c0", "c1")},
    ),
    Field(
        "ApprovalCreate.approve",
        "messages.messages[0].approval.approve",
        lambda v: approving(approval_request_id="c", approve=v),
        {"required in this form": (None, False)},
    ),
    Field(
        "ApprovalCreate.approval_request_id",
        "messages.messages[0].approval.approval_request_id",
        lambda v: approving(approval_request_id=v, approve=True),
        size(256, least=1),
    ),
    Field(
        "ApprovalCreate.reason",
        "messages.messages[0].approval.reason",
        lambda v: approving(*results(1), reason=v),
        {"not with approvals": ("because", None)},
    ),
    Field(
        "ApprovalCreate.otid",
        "messages.messages[0].approval.otid",
        lambda v: approving(otid=v),
        characters(255, least=1),
    ),
    Field(
        "ApprovalCreate.group_id",
        "messages.messages[0].approval.group_id",
        lambda v: approving(group_id=v),
        characters(255),
    ),
    Field(
        "ToolReturnCreate.tool_returns",
        "messages.messages[0].tool_return.tool_returns",
        lambda v: sending(v1.InputMessage(tool_return=v1.ToolReturnCreate(tool_returns=[r.tool for r in results(v)]))),
        {"repeated.min_items = 1": (0, 1), "repeated.max_items = 256": (257, 256)},
    ),
    Field(
        "ToolReturnCreate.tool_returns",
        "messages.messages[0].tool_return.tool_returns[1].tool_call_id",
        lambda v: returning(returned(), returned(tool_call_id=v)),
        {"no two of them for one call": ("c", "d")},
    ),
    Field(
        "ToolReturnCreate.otid",
        "messages.messages[0].tool_return.otid",
        lambda v: returning(otid=v),
        characters(255, least=1),
    ),
    Field(
        "ToolReturnCreate.group_id",
        "messages.messages[0].tool_return.group_id",
        lambda v: returning(group_id=v),
        characters(255),
    ),
    Field(
        "InputMessage.kind",
        "messages.messages[0]",
        sending,
        {
            "one is required": (
                v1.InputMessage(),
                v1.InputMessage(message=v1.MessageCreate(role=v1.ROLE_USER, content=v1.Content(text="hi"))),
            )
        },
    ),
    Field(
        "InputMessages.messages",
        "messages.messages",
        lambda v: sending(*list(said().messages.messages) * v),
        {"repeated.min_items = 1": (0, 1), "repeated.max_items = 1000": (1_001, 1_000)},
    ),
)

CREATE: Sequence[Field] = (
    Field(
        "CreateMessageAsyncRequest",
        "agent_id",
        lambda v: create(agent_id="", conversation_id=v),
        {"agent_id or conversation_id is required": ("default", CONVERSATION)},
    ),
    Field(
        "CreateMessageAsyncRequest",
        "top_logprobs",
        lambda v: create(top_logprobs=1, return_logprobs=v),
        {"top_logprobs requires return_logprobs": (False, True)},
    ),
    Field(
        "CreateMessageAsyncRequest.payload",
        "payload",
        lambda v: create(input=v),
        {"one is required": (None, v1.Content(text="hi"))},
    ),
    Field(
        "CreateMessageAsyncRequest.agent_id",
        "agent_id",
        lambda v: create(agent_id=v),
        {f'string.pattern = "^agent-{_UUID}$"': identifier("agent")},
    ),
    Field(
        "CreateMessageAsyncRequest.conversation_id",
        "conversation_id",
        lambda v: create(conversation_id=v),
        {f'string.pattern = "^(default|conv-{_UUID})$"': identifier("conv")},
    ),
    Field(
        "CreateMessageAsyncRequest.input",
        "input.parts.parts[0].reasoning",
        lambda v: create(input=v1.Content(parts=v1.Content.Parts(parts=[v]))),
        {"as MessageCreate.content of a user": (v1.ContentPart(reasoning=v1.Reasoning()), part())},
    ),
    Field(
        "CreateMessageAsyncRequest.client_tools",
        "client_tools",
        lambda v: create(client_tools=[v1.ClientTool(name="t")] * v),
        {"repeated.max_items = 256": (257, 256)},
    ),
    Field(
        "CreateMessageAsyncRequest.client_skills",
        "client_skills",
        lambda v: create(client_skills=[v1.ClientSkill(name=f"s{number}") for number in range(v)]),
        {"repeated.max_items = 256": (257, 256)},
    ),
    Field(
        "CreateMessageAsyncRequest.client_skills",
        "client_skills[1].name",
        lambda v: create(client_skills=[v1.ClientSkill(name=name) for name in v]),
        {"no two have one name": (["s", "s"], ["s", "S"])},
    ),
    Field(
        "CreateMessageAsyncRequest.override_model",
        "override_model",
        lambda v: create(override_model=v),
        characters(255, least=1),
    ),
    Field(
        "CreateMessageAsyncRequest.override_system", "override_system", lambda v: create(override_system=v), size(MIB)
    ),
    Field(
        "MessageTypes.values",
        "include_return_message_types.values[0]",
        lambda v: create(include_return_message_types=v1.MessageTypes(values=v)),
        enum(v1.MESSAGE_TYPE_SYSTEM_MESSAGE, many=True),
    ),
    Field(
        "CreateMessageAsyncRequest.top_logprobs",
        "top_logprobs",
        lambda v: create(top_logprobs=v, return_logprobs=True),
        bounds("int32", least=0, most=20),
    ),
    Field(
        "CreateMessageAsyncRequest.max_steps",
        "max_steps",
        lambda v: create(max_steps=v),
        bounds("int32", least=1, most=1_000),
    ),
    Field(
        "CreateMessageAsyncRequest.callback_url",
        "callback_url",
        lambda v: create(callback_url=v),
        {
            "string.uri_scheme = [http, https]": ("file:///etc/passwd", "https://example.com:8443/hook?a=b"),
            "string.max_bytes = 8192": ("http://" + "a" * 8_186, "http://" + "a" * 8_185),
        },
    ),
    Field(
        "CreateMessageAsyncRequest.request_id",
        "request_id",
        lambda v: create(request_id=v),
        characters(255, least=1),
    ),
    Field(
        "CreateMessageAsyncRequest.metadata",
        "metadata.json",
        lambda v: create(metadata=v1.JsonObject(json=v)),
        {"string.max_bytes = 16384": ('{"a":"' + "x" * 16_377 + '"}', '{"a":"' + "x" * 16_376 + '"}')},
    ),
    Field(
        "CreateMessageAsyncRequest.labels",
        "labels",
        lambda v: create(labels=v),
        {
            "map.max_pairs = 64": (labels(65), labels(64)),
            "keys.string.max_len = 63": ({"k" * 64: ""}, {"k" * 63: ""}),
        },
    ),
    Field(
        "CreateMessageAsyncRequest.labels",
        "labels['k']",
        lambda v: create(labels={"k": v}),
        {"values.string.max_len = 255": ("é" * 256, "é" * 255)},
    ),
    Field(
        "ClientTool.name",
        "client_tools[0].name",
        lambda v: create(client_tools=[v1.ClientTool(name=v)]),
        characters(64, least=1),
    ),
    Field(
        "ClientSkill.name",
        "client_skills[0].name",
        lambda v: create(client_skills=[v1.ClientSkill(name=v)]),
        characters(255, least=1) | {"no control characters": ("a\nb", "Zoë 🙂")},
    ),
    Field(
        "ClientSkill.description",
        "client_skills[0].description",
        lambda v: create(client_skills=[v1.ClientSkill(name="s", description=v)]),
        size(4 * KIB),
    ),
    Field(
        "ClientSkill.location",
        "client_skills[0].location",
        lambda v: create(client_skills=[v1.ClientSkill(name="s", location=v)]),
        size(4 * KIB) | {"no control characters": ("a\nb", "My Skills/Zoë.md")},
    ),
    Field(
        "Limits.max_steps",
        "limits.max_steps",
        lambda v: create(limits=v1.Limits(max_steps=v)),
        bounds("int32", least=1, most=1_000),
    ),
    Field(
        "Limits.run_timeout",
        "limits.run_timeout",
        lambda v: create(limits=v1.Limits(run_timeout=v)),
        {
            "duration.gt = 0": (seconds(0), Duration(nanos=1)),
            "duration.lte = 604800s": (Duration(seconds=604_800, nanos=1), Duration(seconds=604_800)),
        },
    ),
    Field(
        "Limits.queue_ttl",
        "limits.queue_ttl",
        lambda v: create(limits=v1.Limits(queue_ttl=v)),
        {
            "duration.gt = 0": (seconds(0), Duration(nanos=1)),
            "duration.lte = 604800s": (Duration(seconds=604_800, nanos=1), Duration(seconds=604_800)),
        },
    ),
    Field(
        "Limits.action_timeout",
        "limits.action_timeout",
        lambda v: create(limits=v1.Limits(action_timeout=v)),
        {
            "duration.gt = 0": (seconds(0), Duration(nanos=1)),
            "duration.lte = 31536000s": (Duration(seconds=31_536_000, nanos=1), Duration(seconds=31_536_000)),
        },
    ),
    Field(
        "Limits.on_action_timeout",
        "limits.on_action_timeout",
        lambda v: create(limits=v1.Limits(on_action_timeout=v)),
        {"enum.defined_only = true": (1_000, v1.ON_TIMEOUT_FAIL_TURN)},
    ),
    Field(
        "Scheduling.when_busy",
        "scheduling.when_busy",
        lambda v: create(scheduling=v1.Scheduling(when_busy=v)),
        {"enum.defined_only = true": (1_000, v1.WHEN_BUSY_ROLLBACK)},
    ),
    Field(
        "Scheduling.when_pending",
        "scheduling.when_pending",
        lambda v: create(scheduling=v1.Scheduling(when_pending=v)),
        {"enum.defined_only = true": (1_000, v1.WHEN_PENDING_REJECT)},
    ),
    Field(
        "Scheduling.retention",
        "scheduling.retention",
        lambda v: create(scheduling=v1.Scheduling(retention=v)),
        {
            "duration.gte = 3600s": (Duration(seconds=3_599, nanos=999_999_999), Duration(seconds=3_600)),
            "duration.lte = 3153600000s": (Duration(seconds=3_153_600_000, nanos=1), Duration(seconds=3_153_600_000)),
        },
    ),
    Field(
        "Limits.max_total_tokens",
        "limits.max_total_tokens",
        lambda v: create(limits=v1.Limits(max_total_tokens=v)),
        {"int64.gt = 0": (0, 1)},
    ),
    Field(
        "Limits.max_cost_microusd",
        "limits.max_cost_microusd",
        lambda v: create(limits=v1.Limits(max_cost_microusd=v)),
        {"int64.gt = 0": (0, 1)},
    ),
    Field(
        "Scheduling.priority",
        "scheduling.priority",
        lambda v: create(scheduling=v1.Scheduling(priority=v)),
        bounds("int32", least=1, most=5),
    ),
    Field(
        "Scheduling.fairness_key",
        "scheduling.fairness_key",
        lambda v: create(scheduling=v1.Scheduling(fairness_key=v)),
        size(64),
    ),
)

RUNS: Sequence[Field] = (
    Field(
        "GetRunRequest.run_id",
        "run_id",
        lambda v: v1.GetRunRequest(run_id=v),
        {f'string.pattern = "^run-{_UUID}$"': identifier("run")},
    ),
    Field(
        "ListRunsRequest.statuses",
        "statuses[0]",
        lambda v: v1.ListRunsRequest(statuses=v),
        enum(v1.RUN_STATUS_CANCELLED, many=True),
    ),
    Field(
        "ListRunsRequest.stop_reasons",
        "stop_reasons[0]",
        lambda v: v1.ListRunsRequest(stop_reasons=v),
        enum(v1.STOP_REASON_SUPERSEDED, many=True),
    ),
    Field(
        "ListRunsRequest.page_size",
        "page_size",
        lambda v: v1.ListRunsRequest(page_size=v),
        bounds("int32", least=0),
    ),
    Field(
        "ListRunsRequest.agent_ids",
        "agent_ids",
        lambda v: v1.ListRunsRequest(agent_ids=v),
        {"repeated.max_items = 100": ([AGENT] * 101, [AGENT] * 100)},
    ),
    Field(
        "ListRunsRequest.order_by",
        "order_by",
        lambda v: v1.ListRunsRequest(order_by=v),
        {
            'string.in = ["", "create_time", "create_time asc", "create_time desc"]': (
                "create_time  desc",
                "create_time asc",
            )
        },
    ),
    Field("WaitRunRequest.run_id", "run_id", lambda v: v1.WaitRunRequest(run_id=v), AS_RUN_ID),
    Field(
        "WaitRunRequest.timeout",
        "timeout",
        lambda v: v1.WaitRunRequest(run_id=RUN, timeout=v),
        {"duration.gte = 0": (seconds(-0.001), seconds(0))},
    ),
    Field(
        "WaitRunRequest.changed_after_sequence",
        "changed_after_sequence",
        lambda v: v1.WaitRunRequest(run_id=RUN, changed_after_sequence=v),
        bounds("int64", least=0),
    ),
    Field(
        "WaitRunRequest.until",
        "until",
        lambda v: v1.WaitRunRequest(run_id=RUN, until=v),
        {"enum.defined_only = true": (1_000, v1.WAIT_UNTIL_TURN_END)},
    ),
    Field("WatchRunRequest.run_id", "run_id", lambda v: v1.WatchRunRequest(run_id=v), AS_RUN_ID),
    Field(
        "WatchRunRequest.after_sequence",
        "after_sequence",
        lambda v: v1.WatchRunRequest(run_id=RUN, after_sequence=v),
        bounds("int64", least=0),
    ),
    Field(
        "WatchRunRequest.latest",
        "latest",
        lambda v: v1.WatchRunRequest(run_id=RUN, latest=v),
        {"const = true": (False, True)},
    ),
    Field(
        "WatchRunRequest.snapshot",
        "snapshot",
        lambda v: v1.WatchRunRequest(run_id=RUN, snapshot=v),
        {"const = true": (False, True)},
    ),
    Field(
        "WatchRunRequest.message_types",
        "message_types[0]",
        lambda v: v1.WatchRunRequest(run_id=RUN, message_types=v),
        enum(v1.MESSAGE_TYPE_EVENT_MESSAGE, many=True),
    ),
    Field(
        "WatchRunRequest.heartbeat_interval",
        "heartbeat_interval",
        lambda v: v1.WatchRunRequest(run_id=RUN, heartbeat_interval=v),
        {
            "duration.gte = 1s": (seconds(0.999), seconds(1)),
            "duration.lte = 60s": (seconds(60.001), seconds(60)),
        },
    ),
    Field("ListRunEventsRequest.run_id", "run_id", lambda v: v1.ListRunEventsRequest(run_id=v), AS_RUN_ID),
    Field(
        "ListRunEventsRequest.after_sequence",
        "after_sequence",
        lambda v: v1.ListRunEventsRequest(run_id=RUN, after_sequence=v),
        bounds("int64", least=0),
    ),
    Field(
        "ListRunEventsRequest.page_size",
        "page_size",
        lambda v: v1.ListRunEventsRequest(run_id=RUN, page_size=v),
        bounds("int32", least=0),
    ),
    Field("ListRunMessagesRequest.run_id", "run_id", lambda v: v1.ListRunMessagesRequest(run_id=v), AS_RUN_ID),
    Field(
        "ListRunMessagesRequest.page_size",
        "page_size",
        lambda v: v1.ListRunMessagesRequest(run_id=RUN, page_size=v),
        bounds("int32", least=0),
    ),
    Field(
        "ListRunMessagesRequest.order_by",
        "order_by",
        lambda v: v1.ListRunMessagesRequest(run_id=RUN, order_by=v),
        {'string.in = ["", "position", "position asc", "position desc"]': ("index", "position asc")},
    ),
    Field(
        "ListRunMessagesRequest.newer_than_message_id",
        "newer_than_message_id",
        lambda v: v1.ListRunMessagesRequest(run_id=RUN, newer_than_message_id=v),
        {f'string.pattern = "^message-{_UUID}$"': identifier("message")},
    ),
    Field(
        "ListRunMessagesRequest.older_than_message_id",
        "older_than_message_id",
        lambda v: v1.ListRunMessagesRequest(run_id=RUN, older_than_message_id=v),
        {"as newer_than_message_id": identifier("message")},
    ),
    Field("CancelRunRequest.run_id", "run_id", lambda v: v1.CancelRunRequest(run_id=v), AS_RUN_ID),
    Field("DeleteRunRequest.run_id", "run_id", lambda v: v1.DeleteRunRequest(run_id=v), AS_RUN_ID),
    Field(
        "GetQueueStatsRequest.fairness_key",
        "fairness_key",
        lambda v: v1.GetQueueStatsRequest(fairness_key=v),
        size(64),
    ),
    Field("ExplainRunRequest.run_id", "run_id", lambda v: v1.ExplainRunRequest(run_id=v), AS_RUN_ID),
    Field("CancelRunRequest.reason", "reason", lambda v: v1.CancelRunRequest(run_id=RUN, reason=v), characters(1_024)),
)

ACTIONS: Sequence[Field] = (
    Field(
        "ListPendingActionsRequest.agent_id",
        "agent_id",
        lambda v: v1.ListPendingActionsRequest(agent_id=v),
        {f'string.pattern = "^agent-{_UUID}$"': identifier("agent")},
    ),
    Field(
        "ListPendingActionsRequest.conversation_id",
        "conversation_id",
        lambda v: v1.ListPendingActionsRequest(agent_id=AGENT, conversation_id=v),
        {"as RespondToActionsRequest.conversation_id": ("", "default")},
    ),
    Field("ListPendingActionsRequest.run_id", "run_id", lambda v: v1.ListPendingActionsRequest(run_id=v), AS_RUN_ID),
    Field(
        "ListPendingActionsRequest.kind",
        "kind",
        lambda v: v1.ListPendingActionsRequest(kind=v),
        {"enum.defined_only = true": (1_000, v1.ACTION_KIND_CLIENT_TOOL)},
    ),
    Field(
        "ListPendingActionsRequest.page_size",
        "page_size",
        lambda v: v1.ListPendingActionsRequest(page_size=v),
        bounds("int32", least=0),
    ),
    Field(
        "RespondToActionsRequest.conversation_id",
        "conversation_id",
        lambda v: responding(conversation_id=v),
        {f'string.pattern = "^(default|conv-{_UUID})$"': ("default\n", "default")},
    ),
    Field(
        "RespondToActionsRequest.decisions",
        "decisions",
        lambda v: responding(decisions=results(v)),
        {"repeated.min_items = 1": (0, 1), "repeated.max_items = 256": (257, 256)},
    ),
    Field(
        "RespondToActionsRequest.decisions",
        "decisions[1].tool.tool_call_id",
        lambda v: responding(decisions=[*results(1), v1.ActionDecision(tool=returned(tool_call_id=v))]),
        {"no two of them for one call": ("c0", "c1")},
    ),
    Field(
        "RespondToActionsRequest.request_id",
        "request_id",
        lambda v: responding(request_id=v),
        characters(255, least=1),
    ),
    Field("RespondToActionsRequest.agent_id", "agent_id", lambda v: responding(agent_id=v), AS_AGENT_ID),
)

AGENTS: Sequence[Field] = (
    Field(
        "Agent.name",
        "agent.name",
        lambda v: agent(name=v),
        characters(255) | {"no control characters": ("a\tb", "Zoë 🙂")},
    ),
    Field("Agent.model", "agent.model", lambda v: agent(model=v), characters(255)),
    Field("Agent.system", "agent.system", lambda v: agent(system=v), size(MIB)),
    Field("Agent.tags", "agent.tags", lambda v: agent(tags=v), {"repeated.max_items = 64": (["t"] * 65, ["t"] * 64)}),
    Field(
        "Agent.tags", "agent.tags[0]", lambda v: agent(tags=[v]), {"items.string.max_len = 255": ("é" * 256, "é" * 255)}
    ),
    Field(
        "Agent.block_ids",
        "agent.block_ids",
        lambda v: agent(block_ids=v),
        {"repeated.max_items = 64": (block_ids(65), block_ids(64))},
    ),
    Field(
        "Agent.block_ids",
        "agent.block_ids[1]",
        lambda v: agent(block_ids=v),
        {"no two have one label": (block_ids(1) * 2, block_ids(2))},
    ),
    Field("Agent.description", "agent.description", lambda v: agent(description=v), size(64 * KIB)),
    Field(
        "Agent.tool_ids",
        "agent.tool_ids",
        lambda v: agent(tool_ids=[tool_id(number) for number in range(v)]),
        {"repeated.max_items = 256": (257, 256)},
    ),
    Field(
        "Agent.tool_ids",
        "agent.tool_ids[1]",
        lambda v: agent(tool_ids=v),
        {"no two are the same": ([tool_id(1), tool_id(1)], [tool_id(1), tool_id(2)])},
    ),
    Field(
        "CreateAgentRequest.request_id",
        "request_id",
        lambda v: v1.CreateAgentRequest(request_id=v),
        characters(255, least=1),
    ),
    Field(
        "GetAgentRequest.agent_id",
        "agent_id",
        lambda v: v1.GetAgentRequest(agent_id=v),
        {f'string.pattern = "^agent-{_UUID}$"': identifier("agent")},
    ),
    Field(
        "ListAgentsRequest.page_size",
        "page_size",
        lambda v: v1.ListAgentsRequest(page_size=v),
        bounds("int32", least=0),
    ),
    Field("UpdateAgentRequest.agent_id", "agent_id", lambda v: v1.UpdateAgentRequest(agent_id=v), AS_AGENT_ID),
    Field("DeleteAgentRequest.agent_id", "agent_id", lambda v: v1.DeleteAgentRequest(agent_id=v), AS_AGENT_ID),
    Field(
        "CompileSystemRequest.agent_id",
        "agent_id",
        lambda v: v1.CompileSystemRequest(agent_id=v),
        {f'string.pattern = "^agent-{_UUID}$"': identifier("agent")},
    ),
    Field(
        "CompileSystemRequest.conversation_id",
        "conversation_id",
        lambda v: v1.CompileSystemRequest(agent_id=AGENT, conversation_id=v),
        {f'string.pattern = "^(default|conv-{_UUID})$"': ("default\n", "default")},
    ),
)


def listing(name: str) -> Callable[[Any], v1.ListMessagesRequest]:
    """Makes requests in which that field is set."""
    return lambda value: v1.ListMessagesRequest(**{name: value})


CONVERSATIONS: Sequence[Field] = (
    Field("Conversation.summary", "conversation.summary", lambda v: conversation(summary=v), size(64 * KIB)),
    Field(
        "Conversation.description",
        "conversation.description",
        lambda v: conversation(description=v),
        size(64 * KIB),
    ),
    Field("Conversation.model", "conversation.model", lambda v: conversation(model=v), characters(255, least=1)),
    Field(
        "Conversation.labels",
        "conversation.labels",
        lambda v: conversation(labels=v),
        {
            "map.max_pairs = 64": (labels(65), labels(64)),
            "keys.string.max_len = 63": ({"é" * 64: "v"}, {"é" * 63: "v"}),
        },
    ),
    Field(
        "Conversation.labels",
        "conversation.labels['k']",
        lambda v: conversation(labels={"k": v}),
        {"values.string.max_len = 255": ("é" * 256, "é" * 255)},
    ),
    Field(
        "CreateConversationRequest.agent_id",
        "agent_id",
        lambda v: v1.CreateConversationRequest(agent_id=v),
        {f'string.pattern = "^agent-{_UUID}$"': identifier("agent")},
    ),
    Field(
        "CreateConversationRequest.request_id",
        "request_id",
        lambda v: v1.CreateConversationRequest(agent_id=AGENT, request_id=v),
        characters(255, least=1),
    ),
    Field(
        "GetConversationRequest.conversation_id",
        "conversation_id",
        lambda v: v1.GetConversationRequest(conversation_id=v),
        {f'string.pattern = "^conv-{_UUID}$"': identifier("conv")},
    ),
    Field(
        "ListConversationsRequest.page_size",
        "page_size",
        lambda v: v1.ListConversationsRequest(page_size=v),
        bounds("int32", least=0),
    ),
    Field(
        "ListConversationsRequest.order_by",
        "order_by",
        lambda v: v1.ListConversationsRequest(order_by=v),
        {
            'string.in = ["", "create_time", "create_time asc", "create_time desc", "last_message_time", '
            '"last_message_time asc", "last_message_time desc", "last_run_time", "last_run_time asc", '
            '"last_run_time desc"]': ("summary", "last_run_time desc")
        },
    ),
    Field(
        "ListConversationsRequest.summary_search",
        "summary_search",
        lambda v: v1.ListConversationsRequest(summary_search=v),
        characters(255, least=1),
    ),
    Field(
        "ListConversationsRequest.after_conversation_id",
        "after_conversation_id",
        lambda v: v1.ListConversationsRequest(after_conversation_id=v),
        {f'string.pattern = "^conv-{_UUID}$"': identifier("conv")},
    ),
    Field(
        "UpdateConversationRequest.conversation_id",
        "conversation_id",
        lambda v: v1.UpdateConversationRequest(conversation_id=v),
        {"as GetConversationRequest.conversation_id": identifier("conv")},
    ),
    Field(
        "DeleteConversationRequest.conversation_id",
        "conversation_id",
        lambda v: v1.DeleteConversationRequest(conversation_id=v),
        {"as GetConversationRequest.conversation_id": identifier("conv")},
    ),
    Field(
        "ForkConversationRequest.conversation_id",
        "conversation_id",
        lambda v: v1.ForkConversationRequest(agent_id=AGENT, conversation_id=v),
        {f'string.pattern = "^(default|conv-{_UUID})$"': ("default\n", "default")},
    ),
    Field(
        "ForkConversationRequest.at_message_id",
        "at_message_id",
        lambda v: v1.ForkConversationRequest(conversation_id=CONVERSATION, at_message_id=v),
        {f'string.pattern = "^message-{_UUID}$"': identifier("message")},
    ),
    Field(
        "ForkConversationRequest.request_id",
        "request_id",
        lambda v: v1.ForkConversationRequest(conversation_id=CONVERSATION, request_id=v),
        characters(255, least=1),
    ),
    Field(
        "GetConversationContextRequest.conversation_id",
        "conversation_id",
        lambda v: v1.GetConversationContextRequest(agent_id=AGENT, conversation_id=v),
        {"as ForkConversationRequest.conversation_id": ("", "default")},
    ),
    Field(
        "CompactConversationRequest.conversation_id",
        "conversation_id",
        lambda v: v1.CompactConversationRequest(agent_id=AGENT, conversation_id=v),
        {"as ForkConversationRequest.conversation_id": ("", "default")},
    ),
    Field(
        "CompactConversationRequest.request_id",
        "request_id",
        lambda v: v1.CompactConversationRequest(conversation_id=CONVERSATION, request_id=v),
        characters(255, least=1),
    ),
    Field(
        "ResetConversationRequest.conversation_id",
        "conversation_id",
        lambda v: v1.ResetConversationRequest(agent_id=AGENT, conversation_id=v),
        {"as ForkConversationRequest.conversation_id": ("", "default")},
    ),
    Field(
        "ResetConversationRequest.request_id",
        "request_id",
        lambda v: v1.ResetConversationRequest(conversation_id=CONVERSATION, request_id=v),
        characters(255, least=1),
    ),
    Field(
        "ListMessagesRequest.conversation_id",
        "conversation_id",
        lambda v: v1.ListMessagesRequest(agent_id=AGENT, conversation_id=v),
        {"empty, or as ForkConversationRequest.conversation_id": ("conv-1", "")},
    ),
    Field(
        "ListMessagesRequest.page_size",
        "page_size",
        lambda v: v1.ListMessagesRequest(conversation_id=CONVERSATION, page_size=v),
        bounds("int32", least=0),
    ),
    Field(
        "ListMessagesRequest.order_by",
        "order_by",
        lambda v: v1.ListMessagesRequest(conversation_id=CONVERSATION, order_by=v),
        {'string.in = ["", "position", "position asc", "position desc"]': ("create_time", "position asc")},
    ),
    Field(
        "ListMessagesRequest.message_types",
        "message_types[0]",
        lambda v: v1.ListMessagesRequest(conversation_id=CONVERSATION, message_types=v),
        enum(v1.MESSAGE_TYPE_EVENT_MESSAGE, many=True),
    ),
    *(
        Field(
            f"ListMessagesRequest.{name}",
            name,
            listing(name),
            {"as ForkConversationRequest.at_message_id": identifier("message")},
        )
        for name in ("newer_than_message_id", "older_than_message_id")
    ),
    *(
        Field(
            f"ListMessagesRequest.{name}",
            name,
            listing(name),
            characters(255),
        )
        for name in ("assistant_message_tool_name", "assistant_message_tool_kwarg")
    ),
    Field(
        "GetMessageRequest.message_id",
        "message_id",
        lambda v: v1.GetMessageRequest(message_id=v),
        {"as ForkConversationRequest.at_message_id": identifier("message")},
    ),
)

BLOCKS: Sequence[Field] = (
    Field(
        "Block.label",
        "block.label",
        lambda v: block(label=v),
        characters(64, least=1) | {"no control characters": ("a\tb", "Zoë 🙂")},
    ),
    Field(
        "Block.value",
        "block.value",
        lambda v: block(value=v, limit=3),
        {"at most `limit` characters": ("é" * 4, "é" * 3)},
    ),
    Field("Block.limit", "block.limit", lambda v: block(limit=v), bounds("int32", least=0, most=100_000)),
    Field("Block.description", "block.description", lambda v: block(description=v), size(16 * KIB)),
    Field("Block.tags", "block.tags", lambda v: block(tags=v), {"repeated.max_items = 64": (["t"] * 65, ["t"] * 64)}),
    Field(
        "Block.tags", "block.tags[0]", lambda v: block(tags=[v]), {"items.string.max_len = 255": ("é" * 256, "é" * 255)}
    ),
    Field(
        "CreateBlockRequest.block",
        "block",
        lambda v: v1.CreateBlockRequest(block=v),
        {"required": (None, v1.Block(label="human"))},
    ),
    Field(
        "CreateBlockRequest.request_id",
        "request_id",
        lambda v: v1.CreateBlockRequest(block=v1.Block(label="human"), request_id=v),
        characters(255, least=1),
    ),
    Field(
        "GetBlockRequest.block_id",
        "block_id",
        lambda v: v1.GetBlockRequest(block_id=v),
        {f'string.pattern = "^block-{_UUID}$"': identifier("block")},
    ),
    Field(
        "ListBlocksRequest.agent_id",
        "agent_id",
        lambda v: v1.ListBlocksRequest(agent_id=v),
        {f'string.pattern = "^agent-{_UUID}$"': identifier("agent")},
    ),
    Field(
        "ListBlocksRequest.page_size",
        "page_size",
        lambda v: v1.ListBlocksRequest(page_size=v),
        bounds("int32", least=0),
    ),
    Field(
        "UpdateBlockRequest.block_id",
        "block_id",
        lambda v: v1.UpdateBlockRequest(block_id=v),
        {"as GetBlockRequest.block_id": identifier("block")},
    ),
    Field(
        "DeleteBlockRequest.block_id",
        "block_id",
        lambda v: v1.DeleteBlockRequest(block_id=v),
        {"as GetBlockRequest.block_id": identifier("block")},
    ),
)

TOOLS: Sequence[Field] = (
    Field(
        "Tool.name",
        "tool.name",
        lambda v: tool(name=v),
        {'string.pattern = "^[a-zA-Z0-9_-]{1,64}$"': ("light\n", "a-Z_9" + "x" * 59)},
    ),
    Field("Tool.description", "tool.description", lambda v: tool(description=v), size(64 * KIB)),
    Field(
        "Tool.json_schema",
        "tool.json_schema.json",
        lambda v: tool(json_schema=v1.JsonObject(json=v)),
        {
            "string.max_bytes = 262144": (
                '{"title":"' + "x" * (256 * KIB - 11) + '"}',
                '{"title":"' + "x" * (256 * KIB - 12) + '"}',
            )
        },
    ),
    Field(
        "Tool.timeout",
        "tool.timeout",
        lambda v: tool(timeout=v),
        {
            "duration.gt = 0": (seconds(0), Duration(nanos=1)),
            "duration.lte = 86400s": (Duration(seconds=86_400, nanos=1), Duration(seconds=86_400)),
        },
    ),
    Field("Tool.source_code", "tool.source_code", lambda v: tool(source_code=v), size(256 * KIB)),
    Field(
        "Tool.return_char_limit",
        "tool.return_char_limit",
        lambda v: tool(return_char_limit=v),
        bounds("int32", least=0, most=1_000_000),
    ),
    Field("Tool.tags", "tool.tags", lambda v: tool(tags=v), {"repeated.max_items = 64": (["t"] * 65, ["t"] * 64)}),
    Field(
        "Tool.tags", "tool.tags[0]", lambda v: tool(tags=[v]), {"items.string.max_len = 255": ("é" * 256, "é" * 255)}
    ),
    Field(
        "UpsertToolRequest.tool",
        "tool",
        lambda v: v1.UpsertToolRequest(tool=v),
        {"required": (None, v1.Tool(id=tool_id(1)))},
    ),
    Field(
        "GetToolRequest.tool_id",
        "tool_id",
        lambda v: v1.GetToolRequest(tool_id=v),
        {f'string.pattern = "^tool-{_UUID}$"': identifier("tool")},
    ),
    Field(
        "DeleteToolRequest.tool_id",
        "tool_id",
        lambda v: v1.DeleteToolRequest(tool_id=v),
        {"as GetToolRequest.tool_id": identifier("tool")},
    ),
    Field(
        "ListToolsRequest.agent_id",
        "agent_id",
        lambda v: v1.ListToolsRequest(agent_id=v),
        {f'string.pattern = "^agent-{_UUID}$"': identifier("agent")},
    ),
    Field(
        "ListToolsRequest.names",
        "names",
        lambda v: v1.ListToolsRequest(names=["n"] * v),
        {"repeated.max_items = 100": (101, 100)},
    ),
    Field(
        "ListToolsRequest.types",
        "types[0]",
        lambda v: v1.ListToolsRequest(types=v),
        enum(v1.TOOL_TYPE_CLIENT, many=True),
    ),
    Field(
        "ListToolsRequest.page_size", "page_size", lambda v: v1.ListToolsRequest(page_size=v), bounds("int32", least=0)
    ),
)

FIELDS: Sequence[Field] = (*CONTENT, *MESSAGES, *CREATE, *RUNS, *ACTIONS, *AGENTS, *CONVERSATIONS, *BLOCKS, *TOOLS)
