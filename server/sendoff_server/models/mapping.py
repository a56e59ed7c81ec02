"""From our messages to the model library's: the history as a provider gets it.

What cannot be said to the provider at hand is left out where that is harmless: reasoning that it has not signed itself,
events, approvals. What would change the meaning is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, Literal

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)

from sendoff import v1
from sendoff_server.models.dialect import Dialect
from sendoff_server.models.failures import failed
from sendoff_server.models.images import image, images_in
from sendoff_server.models.port import ModelCall
from sendoff_server.models.seals import OF_A_CALL, Sealed, opened, opened_of_call
from sendoff_server.models.tool_returns import UNKNOWN, dressed, is_error, or_nothing

REDACTED = "redacted_thinking"
"""The part id by which the library knows redacted reasoning."""
_CALL_ID = re.compile(r"[a-zA-Z0-9_-]{1,40}")
"""Ids of tool calls that every provider takes."""
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_MOST_OF_A_NAME = 64
"""Names of tools have no more characters, at no provider."""

_Outcome = Literal["success", "failed"]


def history(call: ModelCall, dialect: Dialect) -> list[ModelMessage]:
    """The whole call for the library.

    Raises ModelFailed (MODEL_REJECTED_REQUEST) for what cannot be sent.
    """
    if not dialect.takes_images and any(map(_shows_an_image, call.messages)):
        raise failed("MODEL_REJECTED_REQUEST", f"{call.handle} cannot look at images", handle=call.handle)
    return _History(dialect, call.timezone).written(call)


def _shows_an_image(message: v1.Message) -> bool:
    return any(part.HasField("image") for part in message.user_message.content.parts.parts)


class _History:
    """Gathers parts into the library's alternation of requests and responses.

    The returns of an answer's calls stand directly behind it, before anything else, and each call has one.
    """

    def __init__(self, dialect: Dialect, timezone: str) -> None:
        self._dialect = dialect
        self._timezone = timezone
        self._system = dialect.system
        self._messages: list[ModelMessage] = []
        self._request: list[ModelRequestPart] = []
        self._response: list[ModelResponsePart] = []
        self._response_id = ""
        self._open_calls: dict[str, ToolCallPart] = {}  # by our id, those that have no return yet
        self._beside_calls: dict[str, Any] = {}  # by our id
        self._call_ids: set[str] = set()  # as they are sent
        self._returned_images: list[UserContent] = []  # that must follow the returns
        self._numbers = count()

    def written(self, call: ModelCall) -> list[ModelMessage]:
        if call.system:
            self._ask(SystemPromptPart(call.system))
        for message in call.messages:
            self._add(message)
        self._end_returns()
        self._end_request()
        self._end_response()
        return self._messages

    def _add(self, message: v1.Message) -> None:
        match message.WhichOneof("kind"):
            case "system_message":
                self._say(SystemPromptPart(message.system_message.content))
            case "user_message":
                self._say(UserPromptPart(_user_content(message.user_message.content)))
            case "summary_message":
                self._say(UserPromptPart(message.summary_message.summary))
            case "tool_return_message":
                self._add_returns(message)
            case _:
                self._add_answer(message)

    def _add_answer(self, message: v1.Message) -> None:
        """An entry of a model's answer; entries that share an id go into one response."""
        match message.WhichOneof("kind"):
            case "assistant_message":
                self._add_content(message.id, message.assistant_message.content)
            case "reasoning_message":
                said = message.reasoning_message
                self._answer(message.id, self._thinking(said.reasoning, said.signature))
            case "hidden_reasoning_message":
                self._answer(message.id, self._thinking("", message.hidden_reasoning_message.hidden_reasoning))
            case "tool_call_message":
                self._add_calls(message.id, message.tool_call_message.tool_calls)
            case "approval_request_message":
                answer_id = self._response_id if self._response else message.id  # calls that wait are of its answer
                self._add_calls(answer_id, message.approval_request_message.tool_calls)

    def _add_content(self, answer_id: str, content: v1.Content) -> None:
        if content.WhichOneof("form") == "text":
            self._answer(answer_id, TextPart(content.text) if content.text else None)
        for part in content.parts.parts:
            self._add_part(answer_id, part)

    def _add_part(self, answer_id: str, part: v1.ContentPart) -> None:
        """A part of imported history."""
        match part.WhichOneof("part"):
            case "text":
                self._answer(answer_id, TextPart(part.text.text) if part.text.text else None)
            case "tool_call":
                self._call(answer_id, part.tool_call.id, part.tool_call.name, part.tool_call.input.json)
            case "tool_return":
                returned = part.tool_return
                outcome: _Outcome = "failed" if returned.is_error else "success"
                self._return(returned.tool_call_id, or_nothing(returned.content), outcome)
            case "reasoning":
                self._answer(answer_id, self._thinking(part.reasoning.reasoning, part.reasoning.signature))
            case "redacted_reasoning":
                self._answer(answer_id, self._thinking("", part.redacted_reasoning.data))
            case "omitted_reasoning":
                self._answer(answer_id, self._thinking("", part.omitted_reasoning.signature))
            case "summarized_reasoning":
                told = part.summarized_reasoning
                summary = "\n\n".join(piece.text for piece in told.summary)
                self._answer(answer_id, self._thinking(summary, told.encrypted_content))
            case "image":
                raise failed("MODEL_REJECTED_REQUEST", "an assistant message holds an image, which no model takes back")

    def _add_calls(self, answer_id: str, calls: Sequence[v1.ToolCall]) -> None:
        for call in calls:
            self._call(answer_id, call.tool_call_id, call.name, call.arguments)

    def _call(self, answer_id: str, call_id: str, name: str, arguments: str) -> None:
        name = _NOT_IN_A_NAME.sub("_", name)[:_MOST_OF_A_NAME]
        part = ToolCallPart(name, arguments or "{}", self._sendable(call_id))
        self._answer(answer_id, part)
        self._open_calls[call_id] = part
        self._put_beside(call_id)

    def _sendable(self, call_id: str) -> str:
        """The id itself, or another one where providers would refuse it: ids are free text in imported history, and
        what was imported twice has the same ids twice. The same history has the same ids every time."""
        while call_id in self._call_ids or not _CALL_ID.fullmatch(call_id):
            call_id = f"call_{next(self._numbers)}"
        self._call_ids.add(call_id)
        return call_id

    def _add_returns(self, message: v1.Message) -> None:
        """What became of calls, in the dress in which models read it."""
        for returned in message.tool_return_message.tool_returns:
            call = self._open_calls.get(returned.tool_call_id)
            if call is None:
                continue
            text = dressed(returned, message.create_time, self._timezone)
            images = list(images_in(returned.tool_return)) if self._dialect.takes_images else []
            if images and not self._dialect.images_in_returns:
                self._returned_images += [f"What {call.tool_name} returned ({call.tool_call_id}) shows:", *images]
                images = []
            self._return(returned.tool_call_id, [text, *images] if images else text, self._marked(is_error(returned)))

    def _marked(self, is_error: bool) -> _Outcome:
        return "failed" if is_error and self._dialect.marks_errors else "success"

    def _return(self, call_id: str, content: str | list[UserContent], outcome: _Outcome) -> None:
        """A return of a call; one that was answered before, or never made, would be refused by every provider."""
        call = self._open_calls.pop(call_id, None)
        if call is not None:
            self._ask(ToolReturnPart(call.tool_name, content, call.tool_call_id, outcome=outcome))

    def _end_returns(self) -> None:
        """Something else begins: calls without a return get one, and images that were returned are shown."""
        for call_id in list(self._open_calls):
            self._return(call_id, UNKNOWN, self._marked(is_error=True))
        if self._returned_images:
            self._ask(UserPromptPart(self._returned_images))
            self._returned_images = []

    def _thinking(self, text: str, kept: str) -> ThinkingPart | None:
        """Reasoning for the provider that signed it; None for everybody else's, and for what was never signed."""
        sealed = opened(kept, self._system)
        if sealed is not None and sealed.part_id == OF_A_CALL:
            self._keep_beside(sealed)
            return None
        if sealed is None or not self._dialect.signs_reasoning:
            return None
        return ThinkingPart(
            text, id=sealed.part_id or None, signature=sealed.signature or None, provider_name=self._system
        )

    def _keep_beside(self, sealed: Sealed) -> None:
        if told := opened_of_call(sealed):
            call_id, extra = told
            self._beside_calls[call_id] = extra
            self._put_beside(call_id)

    def _put_beside(self, call_id: str) -> None:
        """Give a call what its maker wants back with it, as soon as both were told."""
        call = self._open_calls.get(call_id)
        if call is not None and call_id in self._beside_calls:
            call.provider_name, call.provider_details = self._system, {OF_A_CALL: self._beside_calls.pop(call_id)}

    def _say(self, part: ModelRequestPart) -> None:
        self._end_returns()
        self._ask(part)

    def _ask(self, part: ModelRequestPart) -> None:
        self._end_response()
        self._request.append(part)

    def _answer(self, answer_id: str, part: ModelResponsePart | None) -> None:
        if part is None:
            return
        if answer_id != self._response_id or not self._response:
            self._end_returns()
            self._end_response()
        self._end_request()
        self._response.append(part)
        self._response_id = answer_id

    def _end_request(self) -> None:
        if self._request:
            self._messages.append(ModelRequest(self._request))
            self._request = []

    def _end_response(self) -> None:
        if self._response:
            self._messages.append(ModelResponse(self._response, provider_name=self._system))
            self._response = []


def _user_content(content: v1.Content) -> str | list[UserContent]:
    if content.WhichOneof("form") == "text":
        return content.text
    parts = list(_user_parts(content.parts.parts))
    return parts[0] if len(parts) == 1 and isinstance(parts[0], str) else parts


def _user_parts(parts: Sequence[v1.ContentPart]) -> Iterator[UserContent]:
    for part in parts:
        match part.WhichOneof("part"):
            case "text":
                yield part.text.text
            case "image":
                yield image(part.image)
            case kind:
                raise failed(
                    "MODEL_REJECTED_REQUEST", f"a user message holds a part of kind {kind}, which no model takes"
                )
