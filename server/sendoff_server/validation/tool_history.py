"""Rules of tool calls in imported history, over all messages of a request.

Providers refuse a history in which a call has no return right behind it, so a conversation that took such a one in
could not go on.
"""

from __future__ import annotations

from collections.abc import Sequence

from sendoff import v1
from sendoff_server.validation.limits import MAX_NAME_BYTES
from sendoff_server.validation.violations import Violations, quoted


def check_tool_history(found: Violations, path: str, messages: Sequence[v1.InputMessage]) -> None:
    """Check calls and returns against each other; `path` is the field that holds the messages."""
    if not any(message.message.content.HasField("parts") for message in messages):
        return
    history = _History(found)
    for index, message in enumerate(messages):
        if message.HasField("message"):
            history.add(f"{path}[{index}].message.content", message.message)
    history.end()


class _History:
    """What was called and returned so far."""

    def __init__(self, found: Violations) -> None:
        self._found = found
        self._open: dict[str, str] = {}
        """By id of a call that has no return yet: its place."""
        self._called: set[str] = set()
        self._left: set[str] = set()
        """Calls that were told to have no return in time; what comes late is not told again."""
        self._closing = False
        """Whether only returns may follow: the message that made the open calls is over, or has come to its returns."""

    def add(self, path: str, message: v1.MessageCreate) -> None:
        self._closing = bool(self._open)
        if message.role in (v1.ROLE_USER, v1.ROLE_SYSTEM) or not message.content.HasField("parts"):
            self._leave()
            return
        for index, part in enumerate(message.content.parts.parts):
            place = f"{path}.parts.parts[{index}]"
            match part.WhichOneof("part"):
                case "tool_call":
                    self._call(f"{place}.tool_call", part.tool_call.id)
                case "tool_return":
                    self._return(f"{place}.tool_return.tool_call_id", part.tool_return.tool_call_id)
                case _:
                    self._leave()

    def end(self) -> None:
        self._leave()

    def _call(self, path: str, call_id: str) -> None:
        if self._closing:
            self._leave()
        if not _is_id(call_id):
            return  # which is told already
        if call_id in self._called:
            self._found.add(f"{path}.id", f"must differ from the ids of all other calls, is {quoted(call_id)} again")
            return
        self._called.add(call_id)
        self._open[call_id] = path

    def _return(self, path: str, call_id: str) -> None:
        if self._open.pop(call_id, None) is not None:
            self._closing = bool(self._open)
        elif call_id in self._called:
            if call_id not in self._left:
                self._found.add(path, f"the call {quoted(call_id)} has a tool_return already")
        elif _is_id(call_id):
            self._found.add(path, f"no tool_call before it has the id {quoted(call_id)}")

    def _leave(self) -> None:
        """Something else is said: the open calls will not have their returns in time."""
        for call_id, path in self._open.items():
            self._found.add(path, f"the call {quoted(call_id)} needs its tool_return before anything else is said")
        self._left.update(self._open)
        self._open.clear()
        self._closing = False


def _is_id(call_id: str) -> bool:
    return 0 < len(call_id.encode()) <= MAX_NAME_BYTES
