"""What a run came to, as blocking calls and callbacks tell it: a LettaResponse, or the failure of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from sendoff import v1
from sendoff_server.gateway.answers import answer
from sendoff_server.gateway.nouns.messages import messages_json
from sendoff_server.gateway.nouns.runs import stop_reason_json, usage_statistics
from sendoff_server.use_cases import UseCases

Json = dict[str, Any]

_PAGE = 1_000
_FAILURES = {
    "MODEL_RATE_LIMITED": (429, "llm_rate_limit"),
    "MODEL_AUTHENTICATION": (401, "llm_authentication"),
    "MODEL_QUOTA_EXCEEDED": (402, "llm_insufficient_credits"),
    "MODEL_TIMEOUT": (504, "llm_timeout"),
    "MODEL_REJECTED_REQUEST": (400, "llm_bad_request"),
    "CONTEXT_OVERFLOW": (400, "context_window_exceeded"),
    "MODEL_NOT_FOUND": (404, "llm_not_found"),
    "DEADLINE_EXCEEDED": (504, "deadline_exceeded"),
}
"""By reason of the run's error: the status of a blocking call, and the type that it tells."""
_OTHER_FAILURE = (500, "llm_error")
_STREAM_ERROR_TYPES = {
    "MODEL_TIMEOUT": "llm_timeout",
    "MODEL_RATE_LIMITED": "llm_rate_limit",
    "MODEL_AUTHENTICATION": "llm_authentication",
    "MODEL_ANSWER_INVALID": "llm_empty_response",
    "CONTEXT_OVERFLOW": "context_window_overflow_in_system_prompt",
}
_TOLD_BY_THE_REASON = frozenset(
    {v1.STOP_REASON_MAX_TOKENS_EXCEEDED, v1.STOP_REASON_INVALID_TOOL_CALL, v1.STOP_REASON_NO_TOOL_CALL}
)
"""Ends that the API tells callers who wait like any other: with what the agent has said, and the reason."""


def is_shown(message: v1.Message) -> bool:
    """Whether blocking calls and streams tell it: not what the caller has sent himself."""
    match message.WhichOneof("kind"):
        case "user_message":
            return message.HasField("context_start")
        case "system_message" | "approval_response_message":
            return False
        case "assistant_message":
            return message.HasField("step_id")
        case None:  # of a newer server
            return False
        case _:
            return True


async def messages_of(use_cases: UseCases, tenant: str, run_id: str) -> list[v1.Message]:
    """All entries of a run that its request wants returned."""
    found: list[v1.Message] = []
    wanted = v1.ListRunMessagesRequest(run_id=run_id, page_size=_PAGE)
    while True:
        page = await use_cases.runs.list_messages(tenant, wanted)
        found += page.messages
        if not page.next_page_token:
            return found
        wanted.page_token = page.next_page_token


async def result_json(use_cases: UseCases, tenant: str, run: v1.Run, *, whole: bool = False) -> Json:
    """A LettaResponse; `whole`: with the input, as callbacks have it."""
    entries = await messages_of(use_cases, tenant, run.id)
    turns = await _token_turns(use_cases, tenant, run.id)
    return {
        "messages": messages_json(entry for entry in entries if whole or is_shown(entry)),
        "stop_reason": stop_reason_json(run.stop_reason),
        "usage": usage_statistics(run.usage),
        "logprobs": _logprobs(turns),
        "turns": [_turn(turn) for turn in turns if turn.output_ids] or None,
    }


def is_failure(run: v1.Run) -> bool:
    """Whether callers who waited are told of a failure, rather than of what the agent has said."""
    return run.status == v1.RUN_STATUS_FAILED and run.stop_reason not in _TOLD_BY_THE_REASON


def stream_error_type(error: v1.RunError) -> str:
    """The API's word for a failure in a stream."""
    other = "llm_error" if error.reason.startswith("MODEL_") else "internal_error"
    return _STREAM_ERROR_TYPES.get(error.reason, other)


async def blocking_answer(use_cases: UseCases, tenant: str, run: v1.Run) -> Response:
    """The answer to a caller who waited for the run's end."""
    if is_failure(run):
        of_the_model = run.error.reason.startswith("MODEL_")
        other = _OTHER_FAILURE if of_the_model else (500, "internal_error")
        status, kind = _FAILURES.get(run.error.reason, other)
        told = {"type": kind, "message": run.error.message, "detail": run.error.reason}
        return answer({"error": told, "run_id": run.id}, status, {"x-should-retry": "false"})
    return answer(await result_json(use_cases, tenant, run))


async def _token_turns(use_cases: UseCases, tenant: str, run_id: str) -> list[v1.TokenTurn]:
    found: list[v1.TokenTurn] = []
    wanted = v1.ListRunEventsRequest(run_id=run_id, page_size=_PAGE)
    while True:
        page = await use_cases.runs.list_events(tenant, wanted)
        found += [event.token_turn for event in page.events if event.HasField("token_turn")]
        if page.complete or not page.events:
            return found
        wanted.after_sequence = page.events[-1].sequence


def _turn(turn: v1.TokenTurn) -> Json:
    pairs = zip(turn.output_token_logprobs, turn.output_ids, strict=False)
    return {
        "role": turn.role,
        "content": turn.content if turn.HasField("content") else None,
        "output_ids": list(turn.output_ids),
        "output_token_logprobs": [[logprob, token_id, None] for logprob, token_id in pairs],
        "tool_name": turn.tool_name if turn.HasField("tool_name") else None,
    }


def _logprobs(turns: Sequence[v1.TokenTurn]) -> Json | None:
    """Of the last model call."""
    told = next((turn.logprobs for turn in reversed(turns) if turn.logprobs), None)
    if told is None:
        return None
    content = [
        {**_token(token), "top_logprobs": [_token(alternative) for alternative in token.top_logprobs]} for token in told
    ]
    return {"content": content, "refusal": None}


def _token(token: v1.TokenLogprob | v1.TokenLogprob.Alternative) -> Json:
    return {
        "token": token.token,
        "logprob": token.logprob,
        "bytes": list(token.bytes) if token.HasField("bytes") else None,
    }
