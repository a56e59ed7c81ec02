"""Calls of one tool shown as what the agent says.

Agents that speak through a tool (by custom `send_message`, whose argument `message` holds the words) look to their
callers like agents that answer in plain text, unless a request asks for the calls themselves
(`RequestConfig.use_assistant_message`). Only what is listed is translated: log and conversation stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from sendoff import v1
from sendoff_server import ids

THINKING = "thinking"
"""The argument that holds what the agent thought, for agents that are made to think in it."""


class Translation:
    """Translates the entries of one run, which are to be given in order, from the start of a step on."""

    def __init__(self, config: v1.RequestConfig) -> None:
        self._tool_name = config.assistant_message_tool_name
        self._kwarg = config.assistant_message_tool_kwarg
        self._is_on = config.use_assistant_message
        self._said: set[str] = set()

    def shown(self, message: v1.Message) -> list[v1.Message]:
        """What stands in the list for an entry: mostly the entry itself; more than one for calls of which some say
        something; none for what came back from a call that did."""
        if self._is_on and message.HasField("tool_call_message"):
            return self._speech(message)
        if self._said and message.HasField("tool_return_message"):
            return self._other_returns(message)
        return [message]

    def _speech(self, message: v1.Message) -> list[v1.Message]:
        """Each call that says something becomes its words, behind its thoughts; the others stay together in between."""
        calls = [(call, self._arguments(call)) for call in message.tool_call_message.tool_calls]
        if all(arguments is None for _, arguments in calls):
            return [message]
        pieces: list[v1.Message] = []
        for is_other, group in groupby(calls, key=lambda pair: pair[1] is None):
            if is_other:
                pieces.append(v1.Message(tool_call_message=v1.ToolCallMessage(tool_calls=[call for call, _ in group])))
                continue
            for call, arguments in group:
                self._said.add(call.tool_call_id)
                pieces += self._words(arguments or {})
        return [_in_place_of(message, piece, index) for index, piece in enumerate(pieces)]

    def _arguments(self, call: v1.ToolCall) -> dict[str, Any] | None:
        """The arguments of a call that says something; None for any other, also for one whose words can't be read."""
        if call.name != self._tool_name:
            return None
        try:
            arguments = json.loads(call.arguments)
        except (ValueError, RecursionError):
            return None
        return arguments if isinstance(arguments, dict) and isinstance(arguments.get(self._kwarg), str) else None

    def _words(self, arguments: dict[str, Any]) -> Iterator[v1.Message]:
        thoughts = arguments.get(THINKING)
        if isinstance(thoughts, str) and thoughts and self._kwarg != THINKING:
            yield v1.Message(
                reasoning_message=v1.ReasoningMessage(reasoning=_text(thoughts), source="non_reasoner_model")
            )
        words = v1.Content(text=_text(arguments[self._kwarg]))
        yield v1.Message(assistant_message=v1.AssistantMessage(content=words))

    def _other_returns(self, message: v1.Message) -> list[v1.Message]:
        """Without what came back from calls that say something, but for failures."""
        returns = message.tool_return_message.tool_returns
        kept = [
            each
            for each in returns
            if each.tool_call_id not in self._said or each.status == v1.TOOL_RETURN_STATUS_ERROR
        ]
        if len(kept) == len(returns):
            return [message]
        if not kept:
            return []
        told = v1.Message()
        told.CopyFrom(message)
        told.tool_return_message.CopyFrom(v1.ToolReturnMessage(tool_returns=kept))
        return [told]


def _in_place_of(message: v1.Message, piece: v1.Message, index: int) -> v1.Message:
    """The piece with all that the entry tells beside its kind; those behind the first have OTIDs of their own."""
    told = v1.Message()
    told.CopyFrom(message)
    told.ClearField("tool_call_message")
    told.MergeFrom(piece)
    if index:
        told.otid = ids.otid(ids.derive("message", message.id, message.otid, index), 0)
    return told


def _text(value: str) -> str:
    """Without lone surrogates, which JSON can spell and no message can hold."""
    return value.encode("utf-8", "replace").decode()
