"""What a run has to know of the turn that it is part of. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from sendoff import v1
from sendoff_server.body import Done, Made, Work
from sendoff_server.lifecycle import decisions_of, text_of, turn_began
from sendoff_server.loop.returns import as_ruled
from sendoff_server.loop.rules import Call


def calls_so_far(work: Work, done: Done) -> list[Call]:
    """The calls of the turn that have returns, in order: those of the run, and of the runs that it continues as far as
    the model is still shown them."""
    own = as_ruled([made for made in done.made if made.name], done.started)
    if decisions_of(work.request) is None or done.past is None:
        return own
    start = turn_began(work.seq)
    earlier = list(takewhile(lambda entry: entry.position >= start, reversed(done.past.messages)))[::-1]
    settled = {made.call_id: made.output for made in done.made if not made.name}
    return [*as_ruled(_made(earlier, settled), done.started), *own]


def _made(entries: Sequence[v1.Message], settled: dict[str, str]) -> list[Made]:
    outputs = dict(settled)
    calls: list[v1.ToolCall] = []
    for entry in entries:
        calls += [*entry.tool_call_message.tool_calls, *entry.approval_request_message.tool_calls]
        for returned in entry.tool_return_message.tool_returns:
            outputs[returned.tool_call_id] = text_of(returned.tool_return)
    return [
        Made(call.tool_call_id, call.name, outputs[call.tool_call_id]) for call in calls if call.tool_call_id in outputs
    ]
