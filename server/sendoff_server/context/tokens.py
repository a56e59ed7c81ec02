"""How many tokens things take, guessed without asking anybody: no vocabulary, no network.

Four bytes of UTF-8 are held to be a token, which is a little too much for English and a little too little for code;
JSON is cut finer. Where a provider has counted, its count is used instead, and only what came later is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sendoff import v1

BYTES_PER_TOKEN = 4
JSON_BYTES_PER_TOKEN = 3
ENTRY_TOKENS = 4
"""What stands around an entry: who speaks, where it ends."""
IMAGE_TOKENS = 1_600
"""Of a large picture; what it takes depends on its pixels, not on its bytes."""


def of_text(text: str) -> int:
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def of_json(text: str) -> int:
    return -(-len(text.encode()) // JSON_BYTES_PER_TOKEN)


def of_entry(entry: v1.Message) -> int:
    """What a model is charged for an entry; nothing for those that it is not shown."""
    tokens = _of_kind(entry)
    return tokens + ENTRY_TOKENS if tokens else 0


def of_entries(entries: Iterable[v1.Message]) -> int:
    return sum(map(of_entry, entries))


def _of_kind(entry: v1.Message) -> int:
    match entry.WhichOneof("kind"):
        case "system_message":
            return of_text(entry.system_message.content)
        case "user_message":
            return of_content(entry.user_message.content)
        case "assistant_message":
            return of_content(entry.assistant_message.content)
        case "reasoning_message":
            return of_text(entry.reasoning_message.reasoning)
        case "hidden_reasoning_message":
            return of_text(entry.hidden_reasoning_message.hidden_reasoning)
        case "summary_message":
            return of_text(entry.summary_message.summary)
        case _:
            return _of_tools(entry)


def _of_tools(entry: v1.Message) -> int:
    match entry.WhichOneof("kind"):
        case "tool_call_message":
            return _of_calls(entry.tool_call_message.tool_calls)
        case "approval_request_message":
            return _of_calls(entry.approval_request_message.tool_calls)
        case "tool_return_message":
            return _of_returns(entry.tool_return_message.tool_returns)
        case "approval_response_message":
            decisions = entry.approval_response_message.approvals
            return _of_returns([decision.tool for decision in decisions if decision.HasField("tool")])
        case _:
            return 0


def _of_calls(calls: Sequence[v1.ToolCall]) -> int:
    return sum(of_text(call.name) + of_json(call.arguments) + ENTRY_TOKENS for call in calls)


def _of_returns(returns: Sequence[v1.ToolReturn]) -> int:
    return sum(
        of_content(returned.tool_return)
        + sum(of_text(line) for line in (*returned.stdout.lines, *returned.stderr.lines))
        + ENTRY_TOKENS
        for returned in returns
    )


def of_content(content: v1.Content) -> int:
    if content.HasField("text"):
        return of_text(content.text)
    return sum(map(_of_part, content.parts.parts))


def _of_part(part: v1.ContentPart) -> int:
    match part.WhichOneof("part"):
        case "text":
            return of_text(part.text.text)
        case "image":
            return IMAGE_TOKENS
        case "tool_call":
            return of_text(part.tool_call.name) + of_json(part.tool_call.input.json)
        case "tool_return":
            return of_text(part.tool_return.content)
        case _:  # reasoning of all kinds
            return -(-part.ByteSize() // BYTES_PER_TOKEN)
