"""Tool calls told in words, for a model that has no other way to be shown them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sendoff import v1
from sendoff_server.models.tool_returns import text_of


def in_prose(messages: Sequence[v1.Message]) -> Iterator[v1.Message]:
    """The conversation with its tool calls and returns told in words: shown JSON, the model repeats it for ever."""
    names: dict[str, str] = {}
    for message in messages:
        match message.WhichOneof("kind"):
            case "tool_call_message":
                yield _said(message, message.tool_call_message.tool_calls, names)
            case "approval_request_message":
                yield _said(message, message.approval_request_message.tool_calls, names)
            case "tool_return_message":
                yield _returned(message, names)
            case "assistant_message" if message.assistant_message.content.HasField("parts"):
                yield from _imported(message, names)
            case _:
                yield message


def _said(message: v1.Message, calls: Sequence[v1.ToolCall], names: dict[str, str]) -> v1.Message:
    names.update((call.tool_call_id, call.name) for call in calls)
    return _assistant(message.id, [f"I called {call.name}." for call in calls])


def _returned(message: v1.Message, names: Mapping[str, str]) -> v1.Message:
    returns = message.tool_return_message.tool_returns
    return _user(message.id, [_return(names, told.tool_call_id, text_of(told)) for told in returns])


def _return(names: Mapping[str, str], call_id: str, text: str) -> str:
    return f"{names.get(call_id, 'The tool')} returned: {text}"


def _imported(message: v1.Message, names: dict[str, str]) -> Iterator[v1.Message]:
    """An imported message holds calls and their returns in the order in which they happened."""
    for part in message.assistant_message.content.parts.parts:
        match part.WhichOneof("part"):
            case "text":
                yield _assistant(message.id, [part.text.text])
            case "tool_call":
                names[part.tool_call.id] = part.tool_call.name
                yield _assistant(message.id, [f"I called {part.tool_call.name}."])
            case "tool_return":
                told = part.tool_return
                yield _user(message.id, [_return(names, told.tool_call_id, told.content)])


def _assistant(message_id: str, lines: Sequence[str]) -> v1.Message:
    content = v1.Content(text="\n".join(lines))
    return v1.Message(id=message_id, assistant_message=v1.AssistantMessage(content=content))


def _user(message_id: str, lines: Sequence[str]) -> v1.Message:
    content = v1.Content(text="\n".join(lines))
    return v1.Message(id=message_id, user_message=v1.UserMessage(content=content))
