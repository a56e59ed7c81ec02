"""How each route of the REST door is attacked: requests that a tenant makes with what is its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.faults.caller import script
from tests.tenants.belongings import Belongings, Question
from tests.tenants.over_rest import Asked, Route

Calls = Sequence[Asked]

NOTHING: Asked = {}
FINE = script(text="fine")
SEEING = "openai/small"
"""A model that looks at pictures."""


def calls_of(mine: Belongings) -> Mapping[Route, Calls]:
    """By route; what spoils something for the calls behind it comes last."""
    return {
        **_facts(),
        **_of_runs(mine),
        **_of_steps(mine),
        **_lists(mine),
        **_of_agents(mine),
        **_of_conversations(mine),
        **_of_callbacks(mine),
        **_of_the_toolbox(mine),
        **_sending(mine),
        **_changing(mine),
        **_ending(mine),
    }


def _facts() -> dict[Route, Calls]:
    paths = ("/livez", "/readyz", "/v1/health/", "/v1/ready/", "/v1/server-info", "/v1/models/", "/v1/models/embedding")
    return {("GET", path): [NOTHING] for path in (*paths, "/docs", "/openapi.json", "/v1/dispatch-pauses")}


def at(path: Mapping[str, str], **others: Any) -> Asked:
    return {"path": path, **others}


def by(**query: Any) -> Asked:
    return {"query": query}


# ---- what is read ----


def _of_runs(mine: Belongings) -> dict[Route, Calls]:
    each = [at({"run_id": run}) for run in (mine.run, mine.questions[0].run, mine.queued, mine.paused)]
    one = {"run_id": mine.run}
    return {
        ("GET", "/v1/runs/{run_id}"): each,
        ("GET", "/v1/runs/{run_id}/usage"): each[:1],
        ("GET", "/v1/runs/{run_id}/metrics"): each[:1],
        ("GET", "/v1/runs/{run_id}/trace"): each[:1],
        ("GET", "/v1/runs/{run_id}/events"): each,
        ("GET", "/v1/runs/{run_id}:explain"): each,
        ("GET", "/v1/runs/{run_id}:wait"): each[:2],
        ("GET", "/v1/runs/{run_id}:watch"): [at(one), at(one, query={"snapshot": "true"})],
        ("GET", "/v1/runs/{run_id}/stream"): each[:1],
        ("POST", "/v1/runs/{run_id}/stream"): [at(one, body={})],
        ("GET", "/v1/runs/{run_id}/messages"): [
            at(one),
            at(one, query={"after": mine.message}),
            at(one, query={"before": mine.message}),
        ],
        ("GET", "/v1/runs/{run_id}/steps"): [
            at(one),
            at(one, query={"after": mine.step}),
            at(one, query={"before": mine.step}),
        ],
    }


def _of_steps(mine: Belongings) -> dict[Route, Calls]:
    one = {"step_id": mine.step}
    return {
        ("GET", "/v1/steps/{step_id}"): [at(one)],
        ("GET", "/v1/steps/{step_id}/metrics"): [at(one)],
        ("GET", "/v1/steps/{step_id}/trace"): [at(one)],
        ("GET", "/v1/steps/{step_id}/messages"): [
            at(one),
            at(one, query={"after": mine.message}),
            at(one, query={"before": mine.message}),
        ],
        ("GET", "/v1/steps/"): [
            NOTHING,
            by(agent_id=mine.agent),
            by(tags=mine.named("step-tag")),
            by(after=mine.step, order="asc"),
            by(before=mine.step, order="desc"),
        ],
    }


def _lists(mine: Belongings) -> dict[Route, Calls]:
    named = mine.named
    runs = [
        NOTHING,
        by(agent_id=mine.agent),
        by(agent_ids=[mine.agent, mine.quiet]),
        by(conversation_id=mine.conversation),
        by(conversation_id=mine.waiting),
        by(after=mine.queued),
        by(before=mine.queued),
    ]
    agents = [
        NOTHING,
        by(name=named("agent")),
        by(query_text=named("age")),
        by(tags=[named("tag"), named("other-tag")]),
        by(tags=named("tag"), match_all_tags="true"),
    ]
    return {
        ("GET", "/v1/runs/"): runs,
        ("GET", "/v1/runs/active"): runs,
        ("GET", "/v1/actions"): [
            NOTHING,
            by(agent_id=mine.agent),
            by(conversation_id=mine.questions[0].conversation),
            by(agent_id=mine.asker, conversation_id="default"),
            by(run_id=mine.questions[0].run),
            by(page_size=1, page_token=mine.tokens["ActionService/ListPendingActions"]),
        ],
        ("GET", "/v1/agents/"): [*agents, by(after=mine.agent), by(before=mine.agent)],
        ("GET", "/v1/agents/count"): agents,
        ("GET", "/v1/blocks/"): [
            NOTHING,
            by(label=named("persona")),
            by(name=named("persona")),
            by(label_search=named("persona")),
            by(value_search=named("value")),
            by(description_search=named("description")),
            by(tags=named("block-tag")),
            by(after=mine.block),
            by(before=mine.block),
        ],
        ("GET", "/v1/audit-entries"): [
            NOTHING,
            by(key_id=named("key")),
            by(resource_id=mine.agent),
            by(page_size=1, page_token=mine.tokens["OpsService/ListAuditEntries"]),
        ],
        ("GET", "/v1/callback-deliveries"): [
            NOTHING,
            by(run_id=mine.run),
            by(endpoint_id=mine.mailbox),
            by(page_size=1, page_token=mine.tokens["CallbackService/ListDeliveries"]),
        ],
        ("GET", "/v1/callback-endpoints"): [
            NOTHING,
            by(page_size=1, page_token=mine.tokens["CallbackService/ListEndpoints"]),
        ],
        ("GET", "/v1/conversations/"): [
            NOTHING,
            by(agent_id=mine.agent),
            by(summary_search=named("talk")),
            by(after=mine.waiting),
        ],
        ("GET", "/v1/messages/"): [
            NOTHING,
            by(conversation_id=mine.conversation),
            by(after=mine.message, order="asc"),
            by(before=mine.message, order="desc"),
        ],
        ("GET", "/v1/messages/{message_id}"): [
            at({"message_id": each}) for each in (mine.message, mine.questions[0].message)
        ],
        ("GET", "/v1/queue-stats"): [NOTHING, by(fairness_key=named("share"))],
        ("GET", "/v1/tags/"): [
            NOTHING,
            by(name=named("tag")),
            by(query_text=named("tag")),
            by(after=named("tag")),
            by(before=named("tag")),
        ],
        ("GET", "/v1/tools/"): [
            NOTHING,
            by(name=named("tool")),
            by(names=named("tool")),
            by(search=named("tool")),
            by(tool_ids=mine.tool),
            by(after=mine.tool),
            by(before=mine.tool),
        ],
    }


def _of_agents(mine: Belongings) -> dict[Route, Calls]:
    one = {"agent_id": mine.agent}
    label = {**one, "block_label": mine.named("persona")}
    return {
        ("GET", "/v1/agents/{agent_id}"): [at(one), at(one, query={"include": "agent.blocks"})],
        ("GET", "/v1/agents/{agent_id}/messages"): [
            at(one),
            at(one, query={"conversation_id": mine.conversation}),
            at(one, query={"after": mine.message, "order": "asc"}),
            at(one, query={"before": mine.message}),
        ],
        ("GET", "/v1/agents/{agent_id}/tools"): [
            at(one),
            at(one, query={"after": mine.tool}),
            at(one, query={"before": mine.tool}),
        ],
        ("GET", "/v1/agents/{agent_id}/core-memory/blocks"): [
            at(one),
            at(one, query={"after": mine.block}),
            at(one, query={"before": mine.block}),
        ],
        ("GET", "/v1/agents/{agent_id}/core-memory/blocks/{block_label}"): [at(label)],
        ("GET", "/v1/agents/{agent_id}/core-memory/blocks/{folder}/{block_label}"): [
            at({**one, "folder": mine.named("folder"), "block_label": mine.named("persona")})
        ],
        ("POST", "/v1/agents/{agent_id}/recompile"): [at(one)],
    }


def _of_conversations(mine: Belongings) -> dict[Route, Calls]:
    one, its_own = {"conversation_id": mine.conversation}, {"conversation_id": mine.agent}
    default, of_agent = {"conversation_id": "default"}, {"agent_id": mine.agent}
    reads = "/v1/conversations/{conversation_id}/messages"
    resumes = "/v1/conversations/{conversation_id}/stream"
    return {
        ("GET", "/v1/conversations/{conversation_id}"): [at(one)],
        ("GET", reads): [
            at(one),
            at(one, query=of_agent),
            at(its_own),
            at(default, query=of_agent),
            at(one, query={"after": mine.message, "order": "asc"}),
            at(one, query={"before": mine.message}),
            at(one, query={"conversation_id": mine.conversation}),
        ],
        ("POST", "/v1/conversations/{conversation_id}/recompile"): [
            at(one, body={}),
            at(default, query=of_agent, body={}),
            at(its_own, body={}),
        ],
        ("POST", resumes): [
            at(one, body={"run_id": mine.run}),
            at(one, body={"otid": mine.named("otid")}),
            at(default, body={"agent_id": mine.agent}),
            at(default, query=of_agent, body={}),
            at(its_own, body={}),
        ],
    }


def _of_callbacks(mine: Belongings) -> dict[Route, Calls]:
    return {
        ("GET", "/v1/callback-deliveries/{delivery_id}"): [
            at({"delivery_id": each}) for each in (mine.delivery, mine.pulled)
        ],
        ("GET", "/v1/callback-endpoints/{endpoint_id}"): [
            at({"endpoint_id": each}) for each in (mine.endpoint, mine.mailbox)
        ],
    }


def _of_the_toolbox(mine: Belongings) -> dict[Route, Calls]:
    return {
        ("GET", "/v1/blocks/{block_id}"): [at({"block_id": mine.block})],
        ("GET", "/v1/tools/{tool_id}"): [at({"tool_id": mine.tool})],
    }


# ---- what has effects ----


def _sending(mine: Belongings) -> dict[Route, Calls]:
    agent, quiet = {"agent_id": mine.agent}, {"agent_id": mine.quiet}
    talk, its_own = {"conversation_id": mine.conversation}, {"conversation_id": mine.agent}
    key = {"idempotency-key": mine.named("request")}
    said = {"input": FINE}
    return {
        ("POST", "/v1/agents/{agent_id}/messages/async"): [
            at(agent, body=said),
            at(agent, body={**said, "conversation_id": mine.conversation}),
            at(quiet, body={**said, "request_id": mine.named("request")}),
            at(quiet, body=said, headers=key),
            at(quiet, body={"messages": [{"role": "user", "content": FINE, "otid": mine.named("paused-otid")}]}),
            at(quiet, body={**said, "scheduling": {"fairness_key": mine.named("share")}}),
            at(quiet, body={**said, "callback_url": mine.hook, "callback": {"secret_id": mine.endpoint}}),
            *(at(agent, body=each) for each in _answers(mine, mine.questions[:4])),
            at(quiet, body={**_picture(mine), "validate_only": True}),
        ],
        ("POST", "/v1/agents/{agent_id}/messages"): [
            *_waited_for(mine, (0, 1), **agent),
            *(at(agent, body=each) for each in _answers(mine, mine.questions[4:8])),
        ],
        ("POST", "/v1/agents/{agent_id}/messages/stream"): [
            *_waited_for(mine, (2, 3), **agent),
            *(at(agent, body=each) for each in _answers(mine, mine.questions[8:12])[:2]),
        ],
        ("POST", "/v1/conversations/{conversation_id}/messages"): [
            *_waited_for(mine, (4, 5), **talk)[:-1],
            at({"conversation_id": mine.questions[-1].conversation}, body=_picture(mine)),
            at(talk, body={**said, "streaming": False}),
            at({"conversation_id": "default"}, body={**said, "agent_id": mine.agent}),
            at(its_own, body=said),
            *(
                at({"conversation_id": each.pop("conversation_id")}, body=each)
                for each in _answers(mine, mine.questions[12:16])[:2]
            ),
        ],
    }


def _picture(mine: Belongings) -> dict[str, Any]:
    shown = [
        {"type": "text", "text": "Look"},
        {"type": "image", "source": {"type": "letta", "file_id": mine.file}},
    ]
    return {"messages": [{"role": "user", "content": shown}], "override_model": SEEING}


def _waited_for(mine: Belongings, keys: Sequence[int], **path: str) -> list[Asked]:
    """Requests that wait for the answer, with keys of these questions."""
    said = {"input": FINE}
    body_key, header_key = [mine.named(f"question-{key}-sent") for key in keys]
    message = {"role": "user", "content": FINE, "otid": mine.named("otid")}
    return [
        at(path, body=said),
        at(path, body={**said, "request_id": body_key}),
        at(path, body=said, headers={"idempotency-key": header_key}),
        at(path, body={"messages": [message], "conversation_id": mine.conversation}),
        at(path, body={**said, "scheduling": {"fairness_key": mine.named("share")}}),
        at(path, body={**_picture(mine), "conversation_id": mine.questions[-1].conversation}),
    ]


def _answers(mine: Belongings, questions: Sequence[Question]) -> list[dict[str, Any]]:
    first, second, third, fourth = questions
    otid = mine.named("otid")
    forms: list[tuple[Question, dict[str, Any]]] = [
        (first, {"type": "approval", "approve": False, "approval_request_id": first.message}),
        (second, {"type": "tool_return", "tool_returns": [_return(second.call)]}),
        (third, {"type": "approval", "approvals": [_return(third.call)]}),
        (fourth, {"type": "approval", "approvals": [_denial(fourth.call)]}),
        (fourth, {"type": "approval", "approvals": [_denial("call-nowhere")], "otid": otid}),
        (fourth, {"type": "tool_return", "tool_returns": [_return("call-nowhere")], "otid": otid}),
    ]
    return [{"messages": [form], "conversation_id": question.conversation} for question, form in forms]


def _return(call: str) -> dict[str, Any]:
    return {"type": "tool", "tool_call_id": call, "status": "success", "tool_return": "given"}


def _denial(call: str) -> dict[str, Any]:
    return {"type": "approval", "tool_call_id": call, "approve": False}


def _changing(mine: Belongings) -> dict[Route, Calls]:
    named = mine.named
    agent, tool, block = {"agent_id": mine.agent}, {"tool_id": mine.tool}, {"block_id": mine.block}
    talk, its_own = {"conversation_id": mine.conversation}, {"conversation_id": mine.agent}
    default = {"conversation_id": "default"}
    label = {**agent, "block_label": named("persona")}
    endpoint = {"endpoint_id": mine.endpoint}
    below = "/v1/agents/{agent_id}"
    schema = {"name": named("tool"), "parameters": {"type": "object", "properties": {}}}
    compacts, resets, summarizes = [{"idempotency-key": named(f"question-{each}-sent")} for each in (8, 9, 10)]
    return {
        ("POST", "/v1/agents/"): [
            {"body": {"name": "new", "tool_ids": [mine.tool]}},
            {"body": {"name": "new", "tools": [named("tool")]}},
            {"body": {"name": "new", "block_ids": [mine.block]}},
        ],
        ("PATCH", below): [
            at({"agent_id": mine.asker}, body={"tool_ids": [mine.tool]}),
            at({"agent_id": mine.asker}, body={"block_ids": [mine.block]}),
        ],
        ("PATCH", f"{below}/tools/attach/{{tool_id}}"): [at({"agent_id": mine.quiet, **tool})],
        ("PATCH", f"{below}/core-memory/blocks/attach/{{block_id}}"): [at({"agent_id": mine.quiet, **block})],
        ("PATCH", f"{below}/core-memory/blocks/{{block_label}}"): [at(label, body={"value": "new"})],
        ("PATCH", f"{below}/core-memory/blocks/{{folder}}/{{block_label}}"): [
            at({**label, "folder": named("folder")}, body={"value": "new"})
        ],
        ("POST", "/v1/blocks/"): [{"body": {"label": "new", "value": "new"}}],
        ("PATCH", "/v1/blocks/{block_id}"): [at(block, body={"value": "newer"})],
        ("POST", "/v1/tools/"): [{"body": {"source_type": "json", "source_code": "", "json_schema": schema}}],
        ("PUT", "/v1/tools/"): [{"body": {"source_type": "json", "source_code": "", "json_schema": schema}}],
        ("PATCH", "/v1/tools/{tool_id}"): [at(tool, body={"tags": ["new"]})],
        ("POST", "/v1/callback-endpoints"): [
            {"body": {"agent_id": mine.agent}},
            {"body": {"url": mine.hook}, "headers": {"idempotency-key": named("endpoint-request")}},
        ],
        ("PATCH", "/v1/callback-endpoints/{endpoint_id}"): [
            at(endpoint, body={"description": "new", "etag": mine.endpoint_etag})
        ],
        ("POST", "/v1/callback-endpoints/{endpoint_id}:rotateSecret"): [at(endpoint, body={})],
        ("POST", "/v1/callback-endpoints/{endpoint_id}:test"): [at(endpoint)],
        ("POST", "/v1/callback-deliveries:redeliver"): [
            {"body": {"endpoint_id": mine.endpoint}},
            {"body": {"delivery_ids": [mine.delivery]}},
        ],
        ("PATCH", "/v1/steps/{step_id}/feedback"): [at({"step_id": mine.step}, body={"feedback": "negative"})],
        ("POST", "/v1/conversations/"): [
            {"query": agent, "body": {}},
            {"query": agent, "body": {}, "headers": {"idempotency-key": named("talk-request")}},
        ],
        ("PATCH", "/v1/conversations/{conversation_id}"): [at(talk, body={"summary": "new"})],
        ("POST", "/v1/conversations/{conversation_id}/fork"): [
            at(talk),
            at(talk, query=agent),
            at(default, query=agent),
            at(its_own),
            at(talk, query={"message_id": mine.message}),
            at(talk, headers={"idempotency-key": named("waiting-request")}),
        ],
        ("POST", "/v1/conversations/{conversation_id}/actions:respond"): _responses(mine),
        ("POST", "/v1/conversations/{conversation_id}/compact"): [
            at(talk, body={}),
            at(default, query={"agent_id": mine.quiet}, body={}),
            at(talk, body={}, headers=compacts),
        ],
        ("POST", f"{below}/summarize"): [at({"agent_id": mine.quiet}, body={}), at(agent, body={}, headers=summarizes)],
        ("PATCH", f"{below}/reset-messages"): [
            at({"agent_id": mine.quiet}, body={}),
            at(agent, body={}, headers=resets),
        ],
        ("POST", "/v1/dispatch:pause"): [
            {"body": {"fairness_key": named("paused")}},
            {"body": {"agent_id": mine.agent}},
        ],
        ("POST", "/v1/dispatch:resume"): [
            {"body": {"fairness_key": named("resting")}},
            {"body": {"agent_id": mine.agent}},
        ],
        ("PATCH", f"{below}/core-memory/blocks/detach/{{block_id}}"): [at({**agent, **block})],
        ("PATCH", f"{below}/tools/detach/{{tool_id}}"): [at({**agent, **tool})],
    }


def _responses(mine: Belongings) -> list[Asked]:
    denied, shown, given = mine.questions[16:19]
    picture = [{"type": "image", "source": {"type": "letta", "file_id": mine.file}}]
    return [
        at({"conversation_id": given.conversation}, body={"decisions": [_return(given.call)]}),
        at({"conversation_id": "default"}, body={"agent_id": mine.asker, "decisions": [_return(mine.asked.call)]}),
        at({"conversation_id": denied.conversation}, body={"decisions": [_denial(denied.call)]}),
        at(
            {"conversation_id": denied.conversation},
            body={"decisions": [_denial("call-nowhere")], "request_id": mine.named("question-6-sent")},
        ),
        at(
            {"conversation_id": shown.conversation},
            body={"decisions": [{**_return(shown.call), "tool_return": picture}]},
        ),
        at(
            {"conversation_id": denied.conversation},
            body={"decisions": [_denial("call-nowhere")]},
            headers={"idempotency-key": mine.named("question-7-sent")},
        ),
    ]


def _ending(mine: Belongings) -> dict[Route, Calls]:
    cancels = "/v1/agents/{agent_id}/messages/cancel"
    return {
        ("POST", "/v1/runs/{run_id}:cancel"): [at({"run_id": each}, body={}) for each in (mine.run, mine.queued)],
        ("POST", "/v1/conversations/{conversation_id}/cancel"): [
            at({"conversation_id": mine.questions[19].conversation}),
            at({"conversation_id": "default"}, query={"agent_id": mine.quiet}),
        ],
        ("POST", cancels): [
            at({"agent_id": mine.agent}, body={"run_ids": [mine.queued]}),
            at({"agent_id": mine.quiet}, body={}),
        ],
        ("PATCH", "/v1/agents/{agent_id}/tools/approval/{tool_name}"): [
            at({"agent_id": mine.agent, "tool_name": mine.named("tool")}, body={"requires_approval": True})
        ],
        ("DELETE", "/v1/runs/{run_id}"): [at({"run_id": mine.run})],
        ("DELETE", "/v1/conversations/{conversation_id}"): [at({"conversation_id": mine.waiting})],
        ("DELETE", "/v1/agents/{agent_id}"): [at({"agent_id": mine.agent})],
        ("DELETE", "/v1/blocks/{block_id}"): [at({"block_id": mine.block})],
        ("DELETE", "/v1/tools/{tool_id}"): [at({"tool_id": mine.tool})],
        ("DELETE", "/v1/callback-endpoints/{endpoint_id}"): [
            at({"endpoint_id": each}) for each in (mine.endpoint, mine.mailbox)
        ],
    }
